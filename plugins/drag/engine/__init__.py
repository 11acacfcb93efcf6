"""Dragging: one loop, and the parts that published methods are chosen from.

Pictures from disk, judges and figures are not here. Read ``drag.py`` first, then ``parts.py``
and ``loop.py``.
"""
