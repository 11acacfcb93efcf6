"""Families whose denoiser is a transformer on tokens of the picture, one a file.

Read ``diffusion_transformer.py`` first, then ``flux.py``. What all of them have in common belongs
to the first; nothing here knows a method.
"""
