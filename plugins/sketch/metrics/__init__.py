"""How well held-out pictures are sketched, beside a tuned edge map.

Read ``figures.py``, then ``held_out.py``.
"""
