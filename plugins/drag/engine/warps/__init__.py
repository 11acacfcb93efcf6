"""Carrying the cells of a latent along a field, without any network.

Read ``latent_warp.py`` first.
"""
