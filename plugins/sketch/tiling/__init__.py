"""Pictures that are larger than the model's, cut into parts that overlap and joined again.

How parts are cut and blended, and what draws them by the paper's network. Read ``tiles.py`` first.
"""
