"""The one training loop: state, checkpoints with exact resume, worker processes, progress.

It knows no network and no data. Read ``loop.py`` first.
"""
