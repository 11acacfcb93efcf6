"""Families whose denoiser is a UNet of Stable Diffusion's shape, one a file.

Read ``sd.py`` first. What a family without such a UNet needs as well belongs a folder above.
"""
