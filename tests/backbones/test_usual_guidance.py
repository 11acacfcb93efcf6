"""The guidance that a family's stock pipeline takes where nobody says otherwise."""

import pytest
from pipelines import of_one_encoder, of_two_encoders
from small_language_models import flux2
from small_transformers import SMALL

import featurekit as fk

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
WANTED = {  # as backbones count it: 1 is without
    "flux_dev": 3.5,
    "flux_schnell": 1.0,
    "sd3": 7.0,
    "pixart_sigma": 4.5,
    "sana": 4.5,
    "lumina2": 4.0,
    "flux2": 4.0,
    "qwen_image": 4.0,
    "z_image": 6.0,
    "chroma": 5.0,
}


@pytest.mark.parametrize("name", WANTED)
def test_a_transformer_is_guided_as_its_pipeline_guides(name):
    assert SMALL[name]().wrapped().usual_guidance == WANTED[name]


def test_a_distilled_network_is_not_guided():
    assert flux2(is_distilled=True).wrapped().usual_guidance == 1.0


def test_a_unet_is_guided_as_its_pipeline_guides():
    assert fk.wrap(of_one_encoder()[0]).usual_guidance == 7.5
    assert fk.wrap(of_two_encoders()[0]).usual_guidance == 5.0
