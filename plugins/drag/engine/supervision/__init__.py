"""What the features at and ahead of a handle are asked to be: one way a file.

Patches and the loss that ways share are in ``motion_supervision.py``, to be read first.
"""
