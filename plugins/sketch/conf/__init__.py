"""Presets of the sketch plugin, found by Hydra as pkg://featurekit_sketch.conf."""
