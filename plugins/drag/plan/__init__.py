"""The plan of a drag: which pixels move, where to, and what they uncover. No diffusion step.

The model gives features and nothing else, so a plan takes a fraction of an edit and can be shown
while a target is being dragged. Read ``warp_plan.py`` first.
"""
