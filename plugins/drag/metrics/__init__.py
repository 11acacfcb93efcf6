"""How good an edit is: judges of where points went, likeness to the truth, controls.

Nothing here changes an edit. Read ``judges.py`` first.
"""
