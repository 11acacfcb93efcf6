"""Which transformers of the installed diffusers are backbones, and that the page says the same."""

import re
from pathlib import Path

import diffusers
import pytest
from small_text_encoders import ENCODERS
from small_transformers import SMALL

from featurekit.backbones.dit.families import FAMILIES
from featurekit.backbones.single_file.kinds import WORDS
from featurekit.pipeline.registry import load_plugin

PAGE = Path(__file__).parents[2] / "docs" / "backbones.md"
FOR_PICTURES = {  # text to image, by what no family is written for yet
    "AuraFlow", "BriaFibo2", "BriaFibo", "Bria", "CogView3Plus", "CogView4", "DreamLite",
    "ErnieImage", "Flux3", "GlmImage", "HiDreamImage", "HunyuanImage", "Ideogram4", "Krea2",
    "LongCatImage", "NucleusMoEImage", "OmniGen", "OvisImage", "PRX", "QwenImage21",
}  # fmt: skip
OTHERS = {  # class labels; parts of UNets; films, sound and editing have three or one dimensions
    "DiTTransformer2DModel", "Transformer2DModel", "TransformerTemporalModel",
}  # fmt: skip


def classes():
    """Public classes of transformers, without those for films and sound."""
    found = {name for name in dir(diffusers) if re.fullmatch(r"\w*Transformer\w*Model", name)}
    return {name for name in found if not re.search(r"Transformer[13]D|FARTransformer", name)}


def rows():
    text = PAGE.read_text("utf-8")
    table = text.split("<!-- families -->")[1].split("<!-- families end -->")[0]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table.strip().splitlines()]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_every_transformer_for_pictures_is_a_family_or_known_to_be_none():
    none = {f"{name}Transformer2DModel" for name in FOR_PICTURES}
    assert set(FAMILIES).isdisjoint(none)
    assert classes() == set(FAMILIES) | none | OTHERS


def test_the_page_lists_the_families_that_there_are():
    named = [row["denoiser"].strip("`") for row in rows()]
    assert set(named) == {"UNet2DConditionModel", *FAMILIES}


def test_a_tick_of_a_plugin_is_of_a_family_that_a_test_runs():
    """Those of the drag are held to what tests/contracts/test_drag_on_transformers.py drags."""
    dragged = {type(SMALL[name]().pipeline.transformer).__name__ for name in ENCODERS}
    ticked = {row["denoiser"].strip("`") for row in rows() if row["drag"] == "✓"}
    assert ticked == dragged | {"UNet2DConditionModel"}


def test_every_family_is_tried_on_a_small_pipeline():
    tried = {type(make().pipeline.transformer).__name__ for make in SMALL.values()}
    assert tried == set(FAMILIES)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["family"])
def test_a_tick_of_the_page_is_true(row):
    unet = row["denoiser"] == "`UNet2DConditionModel`"
    assert row["folder or hub id"] == row["`fk.wrap`"] == row["taps"] == row["inversion"] == "✓"
    assert row["one file"] == ("✓" if unet else "-")
    assert set(WORDS) == {"sd15", "sd21", "sdxl"}  # what one file may hold
    for name in ("drag", "sketch"):
        kinds = load_plugin(name).denoisers
        assert row[name] == ("✓" if ("unet" if unet else "transformer") in kinds else "-")
