"""The studio: a server on this machine, and the page that it serves.

What lives here: the contract of a tab (``tab.py``), what a tab is given (``desk.py``, ``jobs.py``),
pictures, results and events kept in one folder, the page's files in ``page/``, HTTP and what guards
it in ``http/``, and the tab that is the core's own in ``look/``. What may not: anything that a
plugin knows, arithmetic, and torch in what runs before the page is served. Starlette and uvicorn
are the extra ``[studio]``; only ``http/`` imports them. Read ``tab.py`` first.
"""
