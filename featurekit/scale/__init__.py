"""Work of many pictures: what users have it in, and where others' engines place it.

Tars and tables of pictures, and the engine Ray, live here; which sample is whose, and what is
written how, is in ``core`` and ``store``. The packages are of the extra ``[scale]``. Read
``inputs.py`` first, then ``ray_engine.py``.
"""
