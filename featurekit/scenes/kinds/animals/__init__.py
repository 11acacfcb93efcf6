"""Animals of the procedural world: what one is, how it looks, how it moves.

Read ``animal.py`` first; ``moves.py`` has the record that makes animals a kind.
"""
