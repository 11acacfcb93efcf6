"""What ``featurekit run plugin=sketch`` does, and ``featurekit fit-prior``.

A task reads its inputs, calls training or a style and writes results. Read ``train.py`` first.
"""
