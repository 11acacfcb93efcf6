"""The studio: what a person waits for, what its server holds, and the pictures of its page.

All but ``edits.py`` drive the page, and need chromium and playwright. Read ``session.py`` first,
which starts both.
"""
