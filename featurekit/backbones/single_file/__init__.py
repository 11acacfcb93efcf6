"""A whole model in one safetensors file, as other programs keep it: what it is, and its networks.

The layout is that of the first releases (LDM). Which model a file holds is told by its header
alone. Diffusers' own converters rename the weights, with the bundled configs; nothing here asks a
network. Read ``kinds.py`` first.
"""
