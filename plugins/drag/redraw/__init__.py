"""The redraw of what a plan uncovers: by the model from a middle noise level, or by a classical fill.

Nothing here moves anything. Read ``hole.py`` first.
"""
