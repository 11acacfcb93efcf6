"""What is refused of a drag without any weights: the model is only described."""

from contextlib import nullcontext

import pytest
from omegaconf import OmegaConf
from optimising import OPTIMISING
from PIL import Image

from featurekit.core.errors import ConfigError, ImageError, MaskError, PointsError, UnknownNameError
from featurekit.core.types import Job, silent
from featurekit.pipeline.config import compose
from featurekit_drag.checks import check

WIDTH, HEIGHT = 640, 480
POINTS = "plugin.points=[[300,200,340,200]]"


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "me.png"
    Image.new("RGB", (WIDTH, HEIGHT), "teal").save(path)
    return path


@pytest.fixture
def checked(photo, tmp_path):
    def run(*words, backbone="embedded", source=None, image=photo):
        cfg = compose(["plugin=drag", f"backbone={backbone}", *OPTIMISING, *words])
        picture = None if image is None else str(image)
        settings = OmegaConf.to_object(cfg.plugin)
        job = Job(
            backbone=None,
            settings=settings,
            task=cfg.task or "edit",
            image=picture,
            prompt="",
            seed=0,
            out=tmp_path,
            stage=lambda name: nullcontext(silent),
        )
        check(job, source or backbone)

    return run


def painted(photo, *box, size=(WIDTH, HEIGHT)):
    path = photo.with_name("mask.png")
    mask = Image.new("L", size, 0)
    mask.paste(255, box)
    mask.save(path)
    return f"plugin.mask={path}"


@pytest.mark.parametrize("backbone", ["embedded", "sd15", "sdxl"])
def test_what_can_work_passes(checked, photo, backbone):
    checked(POINTS, painted(photo, 250, 150, 400, 300), backbone=backbone)
    checked(image=None, backbone=backbone)  # a bundled scene


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (
            ["plugin.points=[[300,200,641,200]]"],
            PointsError,
            r"the target of row 1 is \(641, 200\)",
        ),
        ([], PointsError, "at least one drag is needed"),
        ([POINTS, "plugin.mask=nowhere.png"], ImageError, "'nowhere.png' is no such file"),
        ([POINTS, "plugin.tap=up7"], UnknownNameError, "no tap named 'up7'; did you mean up"),
        ([POINTS, "plugin.judge_tap=up7"], UnknownNameError, "no tap named 'up7'"),
        ([POINTS, "plugin.side_px=-1"], ConfigError, "plugin.side_px must lie in 0 to 100000"),
        (["task=evaluate"], ConfigError, "task=evaluate drags bundled scenes"),
    ],
)
def test_what_cannot_is_refused_in_one_sentence(checked, words, kind, message):
    with pytest.raises(kind, match=message) as refusal:
        checked(*words)
    assert "\n" not in str(refusal.value)


def test_masks_are_held_to_the_picture_the_handles_and_the_cells(checked, photo):
    with pytest.raises(MaskError, match=r"the one at \(300, 200\) does not"):
        checked(POINTS, painted(photo, 10, 10, 50, 50))
    with pytest.raises(MaskError, match="the size of its image, 640x480 px, got 640x479 px"):
        checked(POINTS, painted(photo, 0, 0, 50, 50, size=(WIDTH, HEIGHT - 1)))
    with pytest.raises(MaskError, match="must cover a cell of 8 px, this one is 1 px"):
        checked(POINTS, painted(photo, 300, 200, 301, 201), backbone="sd15")


@pytest.mark.parametrize(
    ("backbone", "shortest"),
    [("embedded", 2.0), ("sd15", 4.0)],  # two quarters of a cell: of 4 px, and of 8 px
)
def test_a_drag_that_has_arrived_before_it_begins_is_refused_to_the_pixel(
    checked, backbone, shortest
):
    checked(f"plugin.points=[[300,200,{300 + shortest},200]]", backbone=backbone)
    with pytest.raises(PointsError, match=f"at least {shortest:g} px long, at which .* is 1.9 px"):
        checked("plugin.points=[[300,200,301.9,200]]", backbone=backbone)


@pytest.mark.filterwarnings("ignore:the mask lets")
def test_where_a_picture_is_shrunk_a_drag_has_to_be_longer(checked, photo):
    everything = painted(photo, 0, 0, WIDTH, HEIGHT)
    checked("plugin.points=[[300,200,321,200]]", everything)
    with pytest.raises(
        PointsError,
        match=r"at least 20 px long where 1 px of the work is 10.0 px of the picture.*got?.*|raise",
    ) as refusal:
        checked("plugin.points=[[300,200,319,200]]", everything)
    assert "paint a smaller mask or raise plugin.side_px" in str(refusal.value)


def test_a_hub_id_is_not_described_and_leaves_that_to_the_loaded_model(checked):
    checked(
        "plugin.points=[[300,200,301,200]]",
        "plugin.tap=up7",
        backbone="sd15",
        source="somebody/some-model",
    )
