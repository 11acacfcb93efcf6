"""The kinds of scenes, a folder each: what one is, how it looks, how it moves.

``kind.py`` beside this folder says what a kind must have; ``world.py`` lists them. Read
``shapes/shape.py`` first.
"""
