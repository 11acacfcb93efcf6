"""Figures on held-out scenes and on data sets, each beside its controls.

What the figures are computed with is in ``analysis`` and ``core``. Read ``held_out.py`` first.
"""

from featurekit.measures.held_out import Measured
from featurekit.measures.model.card import write_card
from featurekit.measures.model.inversion import measure_inversion
from featurekit.measures.model.lines import measure_lines
from featurekit.measures.model.reconstruction import measure_reconstruction
from featurekit.measures.model.samples import Clip, measure_samples
from featurekit.measures.points.correspondence import measure_correspondence

__all__ = [
    "Clip",
    "Measured",
    "measure_correspondence",
    "measure_inversion",
    "measure_lines",
    "measure_reconstruction",
    "measure_samples",
    "write_card",
]
