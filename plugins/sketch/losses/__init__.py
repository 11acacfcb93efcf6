"""What a sketch network is asked: L1, perceptual, CLIP and directional CLIP losses.

The optimiser is in ``training``. Read ``sketch_loss.py`` first.
"""
