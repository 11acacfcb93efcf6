"""DragDiffusion itself: points, masks, motion supervision, point tracking, the edit.

Pictures from disk, judges and figures are not here. Read ``dragdiffusion.py`` first.
"""
