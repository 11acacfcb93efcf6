"""Features of pictures as files beside each other: tensors, and a picture of each map."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from featurekit.core.atomic import make_folder
from featurekit.features.feature_file import write_maps
from featurekit.features.feature_maps import FeatureMaps
from featurekit.images.io import write_image


class FolderSink:
    """Writes each picture's features into a folder of its own, as tensors and as pictures."""

    def __init__(self, out: Path, settings: Mapping[str, object]) -> None:
        """Remember where to.

        Args:
            out: existing folder.
            settings: what is noted in each file of tensors.
        """
        self._out = out
        self._record = {name: json.dumps(value) for name, value in settings.items()}

    def __call__(self, name: str, maps: FeatureMaps) -> Sequence[Path]:
        """Write the maps of one picture.

        Args:
            name: folder below the one given; empty for that one itself.
            maps: maps (1 c h w).

        Returns:
            The files.

        Raises:
            OutputError: a file cannot be written.
        """
        folder = make_folder(self._out / name)
        file = folder / "features.safetensors"
        written = [write_maps(maps, maps.words, file, more=self._record)]
        for one in maps:
            written.append(write_image(one.to_pil(), folder / f"{one.tap}_{one.timestep}.png"))
        return written
