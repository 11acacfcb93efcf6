"""Names of activations, and context managers that read, write and share them.

Addresses, hooks, ``capture``, ``inject`` and attention live here, for any torch module. Noise
levels, pictures and model families do not. Each context manager leaves the network as it was.
Read ``capture.py`` first.
"""
