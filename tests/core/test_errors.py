"""Errors: one tree, each also what a stranger would catch, and hints that help."""

import inspect

import pytest

from featurekit.core import errors
from featurekit.core.errors import FeatureKitError, FeatureKitWarning, UnknownNameError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if kind.__module__ == errors.__name__ and kind not in (FeatureKitError, FeatureKitWarning)
]


def test_there_are_errors_to_check():
    assert len(KINDS) > 10


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_ours_and_a_builtin_too(kind):
    assert issubclass(kind, FeatureKitError)
    assert any(base.__module__ == "builtins" and base is not Exception for base in kind.__bases__)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_says_what_it_is_for(kind):
    assert kind.__doc__
    assert kind.__doc__.endswith(".")


def test_an_unknown_name_that_is_nearly_right_gets_the_right_one():
    error = UnknownNameError("submodule", "up_block.1", ["up_blocks.1", "down_blocks.0", "mid"])
    assert str(error).startswith("no submodule named 'up_block.1'; did you mean up_blocks.1")


def test_an_unknown_name_that_is_like_none_gets_the_list():
    error = UnknownNameError("tap", "xyz", ["mid", "down1"])
    assert str(error) == "no tap named 'xyz'; known: down1, mid"


def test_a_long_list_is_cut_and_says_so():
    error = UnknownNameError("tap", "xyz", [f"block{i:02}" for i in range(20)])
    assert str(error).endswith("block11, ...")
    assert "block12" not in str(error)


def test_an_unknown_name_keeps_its_parts():
    error = UnknownNameError("tap", "xyz", iter(["b", "a"]))
    assert (error.kind, error.name, error.known) == ("tap", "xyz", ("a", "b"))


def test_a_lookup_catches_an_unknown_name_and_shows_it_unquoted():
    with pytest.raises(LookupError, match=r"^no tap named 'x'"):
        raise UnknownNameError("tap", "x", [])


def test_a_warning_of_ours_is_told_from_others_and_caught_as_one_of_a_user():
    assert issubclass(FeatureKitWarning, UserWarning)
    assert not issubclass(FeatureKitWarning, FeatureKitError)
