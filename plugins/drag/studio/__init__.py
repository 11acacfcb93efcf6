"""The Drag tab of the studio: a session of drags, driven from a page.

Nothing here plans or redraws; that is the session's. Read ``tab.py`` first.
"""
