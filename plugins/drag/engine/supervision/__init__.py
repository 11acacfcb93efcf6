"""What the features at and ahead of a handle are asked to be: one way a file.

The reading of patches is ``motion_supervision.py`` above. Read ``current.py`` first.
"""
