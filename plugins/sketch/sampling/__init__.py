"""Where features come from: representative timesteps, paths into noise, CDST and its prior.

The network that reads the features is in ``network``. Read ``noising_paths.py`` first, then
``cdst.py``.
"""
