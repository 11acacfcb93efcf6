"""Ours beside published code of others, on the same weights, in turn, in one process.

Checkouts are given, and are no part of this repository; without one only our ways run. What brings
each to these weights is in ``adapters/``. Read ``beside_ours.py`` first.
"""
