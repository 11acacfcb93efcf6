"""Published pictures with drawings that people made of them, as they lie on disk.

Read ``items.py``, then ``layouts.py``; each other file but ``matlab_reader.py`` is one layout.
Nothing is fetched, and nothing in a file is run.
"""
