"""Where the parts of a model come from: a diffusers folder, one file, another's autoencoder.

A family is given its parts and does not know which of these they are from. Read ``parts.py`` first.
"""
