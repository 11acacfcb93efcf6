"""The Sketch tab of the studio: styles that are learnt, mixed and drawn in, driven from a page.

Nothing here learns or draws; that is the tasks'. Read ``tab.py`` first, then ``shelf.py``.
"""
