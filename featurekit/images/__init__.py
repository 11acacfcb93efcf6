"""Pictures of others in, pictures for people out, and the one home of coordinates.

Reading, refusing, padding, marking and writing pictures live here; no network is known. Read
``io.py`` first, then ``coordinates.py``, which alone converts between pixels, latent cells and
feature cells.
"""
