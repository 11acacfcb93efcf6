"""The redraw of what a plan uncovers, by the model from a middle noise level.

Nothing here moves anything. Read ``hole.py`` first.
"""
