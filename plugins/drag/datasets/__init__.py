"""Published data sets of drags as subjects: which layout a folder has, and its samples.

No pickle is loaded anywhere: what DragBench pickled is read opcode by opcode. Read
``layouts.py`` first.
"""
