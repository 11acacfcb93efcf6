"""Presets of the drag plugin, found by Hydra as pkg://featurekit_drag.conf."""
