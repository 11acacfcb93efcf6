"""Drawings as pictures: read, registered, made by XDoG, drawn in tiles.

No network is known here. Read ``read_drawing.py`` first.
"""
