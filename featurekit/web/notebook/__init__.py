"""The studio in a notebook: a widget where anywidget is installed, else a frame.

Only ``widget.py`` imports anywidget, which is the extra ``[notebook]``. Read ``beginning.py``
first.
"""
