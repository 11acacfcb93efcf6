"""What Adam changes: the latent, or the output of the network's middle block.

Read ``latent.py`` first.
"""
