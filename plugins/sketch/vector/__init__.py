"""Drawings as paths instead of pixels.

Read ``svg.py``.
"""
