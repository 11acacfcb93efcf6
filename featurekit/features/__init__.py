"""From pictures to feature maps.

Recipes of papers, the noises a picture is read with, reading in batches, maps that can be looked
at and matched, and aggregation live here. What features are found to know is in ``analysis``;
features on disk are in ``store``. Read ``extract.py`` first.
"""
