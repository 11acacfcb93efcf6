"""``featurekit analyse`` and ``featurekit pck``: what features know, as figures and pictures.

Read ``analyse.py`` first.
"""
