"""Drags: what an update, a preview, a LoRA and the rows of an edit cost, and the pages' pictures.

Beside published code they stand in ``peers``. Read ``case.py`` first, the drag that most of it is
measured on.
"""
