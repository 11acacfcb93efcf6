"""Stores of features: what recipes, records and very many pictures cost to write and to read.

Everything is in temporary folders. Read ``recipes.py`` first.
"""
