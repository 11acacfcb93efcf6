"""Interactive drags: previews, edits in steps, undo and redo, kept in one file.

Nothing here plans, redraws or optimises. Read ``session.py`` first.
"""
