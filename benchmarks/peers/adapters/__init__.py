"""Published code of others, each on networks that are given: adapters, and nothing of theirs.

No commands: ``peers`` imports them, with the folders of checkouts that a person has. What asks for
a GPU, or for a package that only saves or draws, is stood in for; what cannot run on today's
diffusers is said in each file. Read ``drag_diffusion.py`` first.
"""
