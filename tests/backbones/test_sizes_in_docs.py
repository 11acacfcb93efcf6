"""docs/library.md counts parameters and bytes of each backbone as they are."""

import re
from pathlib import Path

import pytest

from featurekit.backbones.folder import embedded_folder, read_configs
from featurekit.backbones.loaded.alterations import NETWORKS
from featurekit.backbones.unet import sd, sdxl

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)
ON_META = {
    "embedded": lambda: sd.build("embedded", read_configs(embedded_folder()), device="meta"),
    "sd15": lambda: sd.from_config("sd15", device="meta"),
    "sd21": lambda: sd.from_config("sd21", device="meta"),
    "sdxl": lambda: sdxl.from_config("sdxl", device="meta"),
}


def test_every_backbone_has_a_row():
    assert [row[0] for row in ROW.findall(PAGE.read_text())] == list(ON_META)


@pytest.mark.parametrize("row", ROW.findall(PAGE.read_text()), ids=lambda row: row[0])
def test_a_row_is_counted(row):
    name, *told = row
    model = ON_META[name]()
    networks = [getattr(model, one, None) for one in NETWORKS]
    count = sum(p.numel() for net in networks if net is not None for p in net.parameters())
    for shown, exact in zip(told, (count / 1e6, count * 4 / 2**30, count * 2 / 2**30), strict=True):
        digits = len(shown.partition(".")[2])
        assert shown == f"{exact:.{digits}f}"
