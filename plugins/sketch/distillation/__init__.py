"""A small network that draws as the teacher does, in milliseconds: pairs, learning, files.

The teacher is any callable from a picture to ink. Read ``student.py`` first, then ``pairs.py``.
"""
