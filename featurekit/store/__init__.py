"""Features and inversions on disk: written by many workers, read as data sets, checked and mended.

The records, logs and shards of a store, its cost beforehand and reductions that make it smaller
live here. How features are computed is in ``features``. Read ``records.py`` first; docs/store.md
is the manual.
"""
