"""What the page needs to lay a preview by itself: laid from it, it is the session's own."""

from io import BytesIO

import numpy as np
import pytest
import torch
from drag_studio import SIZE, act, closed, desk_of, masked, place_of, rows
from PIL import Image
from torch.nn.functional import grid_sample, interpolate

from featurekit.core.errors import MaskError, PointsError, UnknownNameError
from featurekit.images.io import image_to_pil
from featurekit_drag.plan.grid import Grid


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    made = desk_of(tmp_path_factory.mktemp("follow") / "desk")
    yield made
    closed(made)


def laid(answer):
    """Lay a preview as the page does, (3 h w) in [0, 1]."""
    h, w = answer["height"], answer["width"]

    def part(name, channels):
        found = np.frombuffer(answer["parts"][name], np.uint8).reshape(-1, h, w, channels)
        return torch.from_numpy(found.copy()).permute(0, 3, 1, 2).float() / 255

    texture, plate, alphas = part("texture", 4), part("plate", 4), part("alphas", 1)
    fields = np.frombuffer(answer["parts"]["fields"], "<f4").reshape(
        len(alphas), *answer["grid"], 2
    )
    picture = torch.where(plate[:, 3:] > 0, plate[:, :3], texture[:, :3])
    at = Grid(h, w, 1.0).centres / torch.tensor([w, h])
    for alpha, field in zip(alphas, torch.from_numpy(fields.copy()), strict=True):
        finer = interpolate(field.permute(2, 0, 1)[None], size=(h, w), mode="bilinear")
        where = (at + finer[0].permute(1, 2, 0))[None] * 2 - 1
        read = [
            grid_sample(one, where, padding_mode="border", align_corners=False)
            for one in (alpha[None], texture[:, :3])
        ]
        shown = ((read[0] * texture[:, 3:] - 0.5) * answer["sharper"] + 0.5).clamp(0, 1)
        picture = torch.lerp(picture, read[1], shown)
    return picture[0]


def seen(studio, **changed):
    session = place_of(studio).open().session
    return session.preview(**changed)[0].add(1).mul(0.5)


def test_the_page_lays_what_the_session_shows(studio):
    key = masked(studio)
    drags = {"points": rows(), "mask": key}
    answer = act(studio, "follow", drags)
    mask = place_of(studio).masks.tensor(key, (SIZE, SIZE))
    wanted = seen(studio, points=rows(), mask=mask)
    found = laid(answer)
    assert answer["kinds"] == ["move"]
    assert float((found - wanted).abs().mean()) < 2 / 255  # bilinear here, bicubic there
    still = laid(act(studio, "follow", {"points": rows(), "mask": key}))
    assert float((found - still).abs().max()) == 0
    nothing = torch.from_numpy(np.array(studio.shelf.get().image)).permute(2, 0, 1) / 255
    assert float((found - nothing).abs().mean()) > 1 / 255


def test_pictures_are_sent_once_and_fields_for_every_target(studio):
    key, (row,) = masked(studio), rows()
    first = act(studio, "follow", {"points": [row], "mask": key})
    other = [*row[:2], row[2] + 1.5, row[3]]
    again = act(studio, "follow", {"points": [other], "mask": key, "have": first["cut"]})
    assert set(again["parts"]) == {"fields"}
    assert again["cut"] == first["cut"]
    assert again["parts"]["fields"] != first["parts"]["fields"]
    moved = act(studio, "follow", {"points": [[row[0] + 2, *row[1:]]], "mask": key})
    assert moved["cut"] != first["cut"]
    assert "plate" in moved["parts"]


def test_a_region_moves_by_what_it_is_pulled(studio):
    key = masked(studio)
    answer = act(studio, "follow", {"regions": [{"mask": key, "dx": 4, "dy": -2}]})
    fields = np.frombuffer(answer["parts"]["fields"], "<f4").reshape(-1, 2)
    np.testing.assert_allclose(fields, [[-4 / SIZE, 2 / SIZE]] * len(fields), atol=1e-6)
    assert answer["kinds"] == ["move"]


def test_the_exact_picture_has_the_full_size(studio):
    address = act(studio, "exact", {"points": rows(), "mask": masked(studio)})["picture"]
    assert address.startswith("/blob/")
    blob = studio.blobs.get(address.removeprefix("/blob/"))
    assert blob.media_type == "image/png"
    mask = place_of(studio).masks.tensor(masked(studio), (SIZE, SIZE))
    wanted = place_of(studio).open().session.preview(points=rows(), mask=mask, full=True)
    with Image.open(BytesIO(blob.content)) as found:
        assert found.tobytes() == image_to_pil(wanted).tobytes()
        assert found.tobytes() != studio.shelf.get().image.tobytes()


@pytest.mark.parametrize(
    ("drags", "error", "why"),
    [
        ({}, PointsError, "there must be a drag, got none"),
        ({"points": [[1, 1, 3, 3]], "mask": "none"}, UnknownNameError, "no mask named 'none'"),
        ({"points": [[-1, 1, 3, 3]]}, PointsError, "inside the image"),
        ({"points": [[1, 1, 3, 3]], "mode": "fly"}, UnknownNameError, "no mode named 'fly'"),
        ({"regions": [{"mask": "x", "dx": 1, "dy": 1}]}, UnknownNameError, "no mask named 'x'"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(studio, drags, error, why):
    with pytest.raises(error, match=why):
        act(studio, "follow", drags)


def test_a_handle_outside_the_mask_is_told(studio):
    with pytest.raises(MaskError, match="mask"):
        act(studio, "follow", {"points": [[0.5, 0.5, 3, 3]], "mask": masked(studio)})
