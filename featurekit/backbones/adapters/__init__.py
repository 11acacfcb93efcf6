"""Low-rank updates that others trained: their names, their scales, and how a model gets them.

Nothing is fitted here; that is ``backbones/lora.py``. Read ``merging.py`` first.
"""
