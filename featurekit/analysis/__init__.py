"""What features know, as arithmetic.

Gram matrices, clusters, representative timesteps, artefacts and their plots live here. Figures on
scenes and data sets, with their controls, are in ``measures``. Read
``representative_timesteps.py`` first.
"""
