"""Our network: maps of a picture read at two scales, drawn crisply at the picture's resolution.

The paper's network and its sum of losses are in ``network/`` and ``losses/``. Read ``reading.py``,
``network.py``, ``lessons.py`` and ``rendering.py`` in this order.
"""
