"""What a model of the embedded world's shape can do, measured on held-out scenes."""

from featurekit.measures.card import write_card
from featurekit.measures.correspondence import measure_correspondence
from featurekit.measures.held_out import Measured
from featurekit.measures.inversion import measure_inversion
from featurekit.measures.lines import measure_lines
from featurekit.measures.reconstruction import measure_reconstruction
from featurekit.measures.samples import Clip, measure_samples

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
