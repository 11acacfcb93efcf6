"""What lies in a model's folder: settings, weight files, and what a folder is that is no model.

Nothing here imports torch or a network's class, and nothing of the rest of ``backbones``. Read
``config_fields.py`` first.
"""
