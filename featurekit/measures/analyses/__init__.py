"""What ``featurekit analyse`` measures: timesteps, positions and norms, beside controls.

One file for each analysis. The arithmetic is in ``featurekit.analysis``. Read ``timesteps.py``
first.
"""
