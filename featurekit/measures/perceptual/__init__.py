"""How different two pictures look to a frozen network, not pixel by pixel.

For losses and for scores. Read ``distances.py`` first.
"""
