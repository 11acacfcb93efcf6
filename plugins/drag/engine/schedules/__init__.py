"""When what is dragged: one level, level by level in turn with denoising, or piece by piece.

Read ``one_level.py`` first.
"""
