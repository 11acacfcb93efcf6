"""Records: they do not change, do not print numbers, and do not need torch to be described."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from featurekit.core.types import Conditioning, FeatureMap, Optimised, Stop, Tap, silent


def conditioning(prompt="a cat", **extra):
    return Conditioning(states=torch.ones(1, 2, 3), prompt=prompt, extra=extra)


def test_importing_the_records_does_not_import_torch():
    program = "import sys, featurekit.core.types; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_equal_conditionings_have_equal_fingerprints():
    pooled, other = torch.ones(1, 4), torch.zeros(1, 2)
    first = conditioning(pooled=pooled, other=other).fingerprint
    assert first == conditioning(other=other.clone(), pooled=pooled.clone()).fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        conditioning(prompt="a dog", pooled=torch.ones(1, 4)),
        replace(conditioning(pooled=torch.ones(1, 4)), states=torch.full((1, 2, 3), 1.001)),
        conditioning(pooled=torch.zeros(1, 4)),
        conditioning(other=torch.ones(1, 4)),
        conditioning(),
    ],
)
def test_a_fingerprint_notices_any_change(changed):
    assert changed.fingerprint != conditioning(pooled=torch.ones(1, 4)).fingerprint


def test_a_fingerprint_does_not_need_the_numbers_on_the_cpu_in_float32():
    states = torch.ones(1, 2, 3, dtype=torch.bfloat16).requires_grad_()
    assert replace(conditioning(), states=states).fingerprint == conditioning().fingerprint


def test_a_feature_map_prints_one_line_without_numbers():
    feature = FeatureMap(torch.zeros(1, 640, 64, 48), tap="up2", timestep=261, stride=8)
    assert repr(feature) == "FeatureMap(up2 t=261 (1, 640, 64, 48) float32 stride=8px)"


def test_the_number_of_updates_is_the_length_of_the_trace():
    assert Optimised(torch.zeros(1), Stop.REACHED, (3.0, 2.0)).updates == 2


def test_a_record_does_not_change():
    tap = Tap(name="up1", path="up_blocks.1", role="block", channels=1280, stride=16)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'stride'"):
        tap.stride = 8


def test_every_reason_to_stop_is_a_sentence_of_its_own():
    sentences = [stop.value for stop in Stop]
    assert len(set(sentences)) == len(sentences)
    assert all(" " in sentence for sentence in sentences)


def test_silent_accepts_progress_and_writes_nothing(capsys):
    silent(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_conditioning_prints_one_line_without_numbers():
    shown = conditioning("a\nlong " * 50, pooled=torch.ones(1, 4))
    assert repr(conditioning()) == "Conditioning('a cat', states (1, 2, 3))"
    assert repr(shown).endswith("...', states (1, 2, 3), pooled (1, 4))")
    assert len(repr(shown)) < 200
    assert "\n" not in repr(shown)
