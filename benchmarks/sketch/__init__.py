"""Sketches: what more examples and a student are worth, and the pictures that the pages show.

A step of learning beside published code stands in ``peers``. Read ``shipped_styles.py`` first.
"""
