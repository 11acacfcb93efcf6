"""Drawings as pictures: read, registered to their picture, or made by XDoG.

No network is known here. Read ``read_drawing.py`` first.
"""
