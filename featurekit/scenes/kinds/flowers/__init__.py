"""Flowers of the procedural world: what one is, how it looks, how it moves.

Read ``flower.py`` first; ``moves.py`` has the record that makes flowers a kind.
"""
