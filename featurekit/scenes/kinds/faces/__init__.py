"""Faces of the procedural world: what one is, how it looks, how it moves.

Read ``face.py`` first; ``moves.py`` has the record that makes faces a kind.
"""
