"""How the embedded model is made: scenes, autoencoder, latents, denoiser, CLIP, report.

Every stage reads what the stages before it left in one folder, and goes on where it was stopped.
The subcommand is in ``cli``. Read ``recipe.py`` first, then ``stages.py``.
"""
