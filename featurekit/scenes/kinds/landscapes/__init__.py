"""Landscapes of the procedural world: what one is, how it looks, how it moves.

Read ``landscape.py`` first; ``moves.py`` has the record that makes landscapes a kind.
"""
