"""How a handle is found again in the features of a moved latent: one way a file.

Read ``point_tracking.py`` first.
"""
