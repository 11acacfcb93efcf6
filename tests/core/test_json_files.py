"""Records come back from JSON as they were, odd numbers made plain; what is none is refused."""

import json
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch

from featurekit.core.errors import ConfigError, OutputError
from featurekit.core.json_files import plain, read_json, write_json


def test_a_record_comes_back_with_odd_values_made_plain(tmp_path):
    record = {
        "psnr": float("inf"), "loss": [1, float("nan"), np.float32(0.5)], "n": np.int64(3),
        "t": torch.tensor(2.0), "path": Path("a/b"), "none": None, "yes": True, "word": "grün",
    }  # fmt: skip
    path = write_json(record, tmp_path / "r.json")
    assert read_json(path) == {
        "psnr": None, "loss": [1, None, 0.5], "n": 3,
        "t": 2.0, "path": "a/b", "none": None, "yes": True, "word": "grün",
    }  # fmt: skip
    json.loads(path.read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("value", [torch.zeros(2), {1, 2}, object(), Enum("E", "A").A])
def test_a_value_without_a_json_form_is_refused_by_its_place(value):
    with pytest.raises(OutputError, match=r"metrics\.points\[1\]\.x must be a number, text"):
        plain({"points": [0, {"x": value}]}, of="metrics")


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_file_that_is_no_record_is_refused(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(ConfigError, match="a record must be a JSON"):
        read_json(tmp_path / "r.json")
