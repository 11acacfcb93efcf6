"""Learning one style from one drawing, the style file, and drawing with it.

Command lines and sheets are in ``tasks``. Read ``style_training.py`` first, then ``trainer.py``.
"""
