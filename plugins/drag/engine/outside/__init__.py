"""What becomes of the latent outside the mask: change costs, or there is none.

Read ``penalty.py`` first.
"""
