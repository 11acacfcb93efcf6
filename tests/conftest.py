"""What several test files share: plugins of a third party made on the spot, a real command line."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import huggingface_hub
import pytest
from browsers import chromium, serve, tab_of  # one driver for all folders
from buckets import bucket, bucket_service, bucket_settings
from ray_processes import cluster
from specimen import FAST, ON_SD, PIPELINE, SPEC

__all__ = [
    "bucket", "bucket_service", "bucket_settings", "chromium", "cluster", "serve", "tab_of",
]  # fmt: skip
MakePlugin = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what runs keep for the next time out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        # matplotlib's list of fonts, which takes long, stays where it is
        fonts = os.environ.get("MPLCONFIGDIR", str(Path.home() / ".cache" / "matplotlib"))
        patch.setenv("MPLCONFIGDIR", fonts)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Leave logging as it was found: what Hydra's flags set would be heard by the tests after."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    for one in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(one)


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePlugin]:
    """Write a distribution with a plugin and put it on the path, here and for child processes."""
    made: list[str] = []

    def make(name: str = "blur", *, owner: str = "blurry", spec: str = SPEC) -> Path:
        package = f"{owner}_{len(made)}_{os.urandom(3).hex()}"
        made.append(package)
        site = tmp_path / "site" / package
        (site / package / "conf" / "experiment").mkdir(parents=True)
        (site / package / "__init__.py").write_text(dedent(spec).format(package=package))
        (site / package / "pipeline.py").write_text(dedent(PIPELINE).format())
        (site / package / "conf" / "__init__.py").touch()
        (site / package / "conf" / "experiment" / "blur_fast.yaml").write_text(dedent(FAST))
        (site / package / "conf" / "backbone_defaults").mkdir()
        (site / package / "conf" / "backbone_defaults" / "blur_sd.yaml").write_text(dedent(ON_SD))
        info = site / f"{owner}-0.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {owner}\nVersion: 0.3\n")
        entry = f"[featurekit.plugins]\n{name} = {package}:PLUGIN\n"
        (info / "entry_points.txt").write_text(entry)
        monkeypatch.syspath_prepend(site)
        inherited = os.environ.get("PYTHONPATH")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), inherited])))
        return site / package

    yield make
    for module in [m for m in sys.modules if m.partition(".")[0] in made]:
        del sys.modules[module]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The hub's client as it is without network and with an empty cache, whose folder this is."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``python -m featurekit`` as a person would, in an empty folder."""
    folder = tmp_path / "desk"
    folder.mkdir()

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "featurekit", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run
