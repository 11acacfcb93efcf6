"""The animation of a drag: the way as the tracker saw it, and where the judges see its end."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from featurekit.images.coordinates import Window
from featurekit.images.marks import INK, PAPER, marked, rings
from featurekit.images.pictures import animation_frames

STRIP_PX, TEXT_PX = 24, 13
TRACKED, JUDGED = "handle: as tracked", "ring: end by the judges"


def animation(
    images: Sequence[Tensor],
    moves: Sequence[Sequence[float]],
    ways: Sequence[Sequence[Sequence[float]]],
    points: Sequence[Mapping[str, Any]],
    screen: Window,
) -> list[Image.Image]:
    """Draw the frames, each with a line that says whose view of the handles it shows.

    Args:
        images: the picture at successive moments, (1 3 h w) in [-1, 1], as the screen shows it;
            the last is the edit.
        moves: rows (x0, y0, x1, y1), px of the picture.
        ways: for each image, where the tracker saw each handle, px of the picture.
        points: the judges' report on the edit.
        screen: the picture as the images show it.

    Returns:
        A frame per image, and one more with the judges' rings on the edit.
    """

    def shown(xy: Sequence[Sequence[float]]) -> list[list[float]]:
        table = torch.tensor(xy, dtype=torch.float64)
        seen: list[list[float]] = screen.points_to_work(table.view(-1, 2)).view_as(table).tolist()
        return seen

    frames = animation_frames(images, shown(moves), [shown(way) for way in ways])
    scale = frames[-1].width / images[-1].shape[-1]
    judged = marked(frames[-1], scale, rings(shown([point["reached_px"] for point in points])))
    return [*(_captioned(frame, TRACKED) for frame in frames), _captioned(judged, JUDGED)]


def _captioned(frame: Image.Image, text: str) -> Image.Image:
    sheet = Image.new("RGB", (frame.width, frame.height + STRIP_PX), PAPER)
    sheet.paste(frame)
    middle = (frame.width // 2, frame.height + STRIP_PX // 2)
    font = ImageFont.load_default(TEXT_PX)
    ImageDraw.Draw(sheet).text(middle, text, fill=INK, font=font, anchor="mm")
    return sheet
