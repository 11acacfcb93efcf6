"""Where a store lies: a folder with renames and locks, or an address of whole, immutable objects.

Nothing here knows what a store holds. Read ``place.py`` first, the one file that knows both kinds;
``address.py`` is an object store by fsspec.
"""
