"""What the embedded model learns from, rendered once and kept on disk.

Pictures, drawings, latents, the tokenizer and hard negatives of captions. No network is
trained here. Read ``rendered_scenes.py`` first.
"""
