"""The configuration that every run is composed from, as Hydra finds it."""
