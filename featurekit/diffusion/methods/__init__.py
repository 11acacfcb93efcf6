"""Ways up the noise levels and back that are more than plain steps, one a file.

Each takes a plain callable and the levels of a run. Read ``anderson.py`` first.
"""
