"""The latents of an unmoved picture, level by level: inverted, denoised again, or sampled.

Read ``unmoved.py`` first.
"""
