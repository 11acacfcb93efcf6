"""Shapes of the procedural world: what one is, how it looks, how it moves.

Read ``shape.py`` first; ``moves.py`` has the record that makes shapes a kind.
"""
