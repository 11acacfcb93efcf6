"""What is measured, a room for each thing, and records of it in ``docs/evidence/``.

Every script runs from the root of the repository, such as ``python -m benchmarks.store.speed``;
none is packed. Rooms import from ``records/``, and ``peers/`` from rooms of what it compares. Read
``evidence.py`` first, which writes the tables of the pages, and tells what makes each.
"""
