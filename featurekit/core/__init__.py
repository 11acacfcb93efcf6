"""Words and arithmetic that know no picture, no model and no plugin.

Errors, records that cross stages, shape checks, files replaced as a whole, arithmetic on feature
fields and measures of likeness live here. Nothing here imports another room of featurekit,
diffusers or Hydra. Read ``types.py`` first.
"""
