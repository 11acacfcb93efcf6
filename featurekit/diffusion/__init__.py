"""Noise levels, single steps, the ``Backbone`` protocol, sampling, inversion, latent optimisation.

Everything here takes a plain callable ``(z, t) -> eps`` and knows neither a model family nor a
method of a plugin. Read ``noise_schedule.py`` first, then ``steps.py``, ``sample.py`` and
``invert.py``.
"""
