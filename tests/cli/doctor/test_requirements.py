"""Requirements as metadata words them: which versions fit, and that ours are all understood."""

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from featurekit.cli.doctor.requirements import fits, installed, requirements

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(
    ("found", "bounds", "good"),
    [
        ("2.14.1+cpu", ">=2.13", True),
        ("2.9", ">=2.13", False),
        ("2", ">=2.0.0", True),
        ("1.3.2", "<1.4,>=1.3.2", True),
        ("1.4.0", "<1.4,>=1.3.2", False),
        ("1.4.0.dev9", "<1.4", False),
        ("2.14.1", "==2.14.1", True),
        ("2.14.0", "==2.14.1", False),
        ("2.14.0", "!=2.14", False),
        ("8.3.1", "!=8.3.*,>=5.3.0", False),
        ("8.4.1", "!=8.3.*,>=5.3.0", True),
        ("1.4.5", "~=1.4.2", True),
        ("1.5.0", "~=1.4.2", False),
        ("2.15.0.dev20261101+cu130", ">=2.13", True),
        ("2.14.0a0+git12", ">=2.14", False),
        ("1!1.0", ">=2.0", True),
        ("7", "", True),
        ("home-made", ">=1", False),
    ],
)
def test_a_version_fits_its_bounds(found, bounds, good):
    assert fits(found, bounds) is good


def test_every_requirement_of_the_project_is_read():
    read = requirements("featurekit")
    assert [one.package for one in read if one.extra is None] == [
        line.partition(">")[0] for line in PROJECT["dependencies"]
    ]
    extras = {one.package for one in read if one.extra == "dev"}
    lines = PROJECT["optional-dependencies"]["dev"]
    # the project itself stands there with its other extras
    assert extras == {line.partition(">")[0].partition("[")[0] for line in lines}


def test_a_bound_in_brackets_is_read(monkeypatch):
    lines = ["torch (>=2.14.0)", "pillow (!=8.3.*,>=5.3.0)", "scipy ; extra == 'scipy'"]
    monkeypatch.setattr("featurekit.cli.doctor.requirements.requires", lambda name: lines)
    first, second, third = requirements("torchvision")
    assert (str(first), second.bounds) == ("torch>=2.14.0", "!=8.3.*,>=5.3.0")
    assert (third.package, third.bounds, third.extra) == ("scipy", "", "scipy")


def test_what_is_for_another_system_is_not_asked_for(monkeypatch):
    lines = [
        "numpy>=2; sys_platform == 'never'",
        "pillow>=8; python_version >= '3' and extra == 'gdown'",
        "torch>=2; python_version >= '3'",
        "torch >= two",
    ]
    monkeypatch.setattr("featurekit.cli.doctor.requirements.requires", lambda name: lines)
    found = [(str(one), one.extra) for one in requirements("torchvision")]
    assert found == [("pillow>=8", "gdown"), ("torch>=2", None)]


def test_what_is_not_installed_has_no_version():
    assert installed("no-such-distribution") is None
    with pytest.raises(PackageNotFoundError, match="no-such-distribution"):
        requirements("no-such-distribution")
