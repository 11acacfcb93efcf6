"""One run: a plugin, its settings and a backbone become a folder of results.

Finding plugins, the words of a command line, the schema of a run and ``run`` itself live here,
and nothing that belongs to one plugin. Read ``config.py`` first, then ``run.py``.
"""
