"""Records of what was measured, the tables made of them, and what scripts share to write them.

No commands, and nothing that knows what is measured: it imports from no other room. Read
``tables.py`` first, which says what a record looks like.
"""
