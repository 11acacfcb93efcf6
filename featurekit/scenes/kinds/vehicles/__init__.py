"""Vehicles of the procedural world: what one is, how it looks, how it moves.

Read ``vehicle.py`` first; ``moves.py`` has the record that makes vehicles a kind.
"""
