"""What ``featurekit run plugin=drag`` does: edit one picture, evaluate on scenes, time an update.

A task reads its inputs, calls the engine and writes results. Read ``edit.py`` first.
"""
