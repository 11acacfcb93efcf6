"""What tests of third parties stand on: denoisers in closed form, and the contract of plugins.

Nothing here needs weights or a network, and nothing of featurekit but its command line imports it.
Read ``conformance.py`` first.
"""

from featurekit.testing.conformance import check_plugin
from featurekit.testing.denoisers import (
    LATENT_CELLS,
    MixtureDenoiser,
    blob_templates,
    line_centres,
    square_centres,
)
from featurekit.testing.flows import MixtureFlow

__all__ = [
    "LATENT_CELLS",
    "MixtureDenoiser",
    "MixtureFlow",
    "blob_templates",
    "check_plugin",
    "line_centres",
    "square_centres",
]
