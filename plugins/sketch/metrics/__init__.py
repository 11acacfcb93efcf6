"""How well held-out pictures are sketched, beside a tuned edge map.

Read ``held_out.py``.
"""
