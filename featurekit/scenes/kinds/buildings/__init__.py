"""Buildings of the procedural world: what one is, how it looks, how it moves.

Read ``building.py`` first; ``moves.py`` has the record that makes buildings a kind.
"""
