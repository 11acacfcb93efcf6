"""Read and steer the inside of diffusion models."""

__version__ = "0.1.0"
