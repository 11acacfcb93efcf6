"""``featurekit fit-prior``: captions become a prior's file, and every mistake one sentence."""

import re

import pytest
import torch

import featurekit as fk
from featurekit.core.errors import ConfigError, FeatureKitError, OutputError, UnknownNameError
from featurekit_sketch.sampling.prior import fit_prior, load_prior, world_captions
from featurekit_sketch.tasks import fit_prior as command
from featurekit_sketch.tasks.fit_prior import main, read_captions

LINES = ["a red star", "a sad face", "a blue house with a tree", "two dots"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("\n".join(LINES), encoding="utf-8")
    return path


@pytest.fixture
def no_work(monkeypatch):
    """Loading a model would be work."""
    monkeypatch.setattr(command.backbones, "load", lambda *_: pytest.fail("a model was loaded"))


def words(file, out, *more):
    return ["backbone=random", "device=cpu", f"captions={file}", f"out={out}", *more]


def test_the_file_is_the_prior_of_the_captions(file, tmp_path, capsys):
    out = tmp_path / "p.safetensors"
    assert main(words(file, out, "components=2")) == 0
    shown = capsys.readouterr()
    random = fk.load_backbone("random", device="cpu")
    found, wanted = load_prior(out, random), fit_prior(random, LINES, components=2)
    assert torch.equal(found.axes, wanted.axes)
    assert found.source == "4 captions of captions.txt"
    share = re.escape(f"{wanted.kept:.1%}")
    line = f"{re.escape(str(out))}: 2 components of 4 captions of captions.txt keep {share}"
    assert re.fullmatch(rf"{line} of the variance\n", shown.out)
    assert shown.err == ""


def test_components_beyond_what_captions_span_are_cut_and_it_says_so(file, tmp_path, capsys):
    main(words(file, tmp_path / "p.safetensors"))
    assert ": 3 components (all they span, of 512) of 4 captions" in capsys.readouterr().out


def test_without_a_file_the_captions_are_the_worlds(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "world_captions", lambda: world_captions(5))
    out = tmp_path / "p.safetensors"
    assert main(["backbone=random", "device=cpu", f"out={out}"]) == 0
    assert "of 5 captions of the world keep" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [out]


def test_a_terminal_sees_how_far_it_is(file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    main(words(file, tmp_path / "p.safetensors"))
    assert "captions" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_lists_every_key_and_does_nothing(word, no_work, capsys):
    assert main([word]) == 0
    shown = capsys.readouterr().out
    for key in ("captions=", "backbone=embedded", "out=prior.safetensors", "components=512"):
        assert key in shown


# caption files


def test_blanks_are_skipped_and_what_comes_twice_counts_once(tmp_path):
    path = tmp_path / "c.txt"
    path.write_bytes(
        "\ufeff\r\n a face \r\n\r\na house\n\t\na face\rein Häuschen\u2028da\n".encode()
    )
    assert read_captions(path) == ["a face", "a house", "ein Häuschen\u2028da"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"at least 2 different ones, a line each, but '.*c\.txt' has 0"),
        (b"\xef\xbb\xbf \n\n", "at least 2 different ones, a line each, but .* has 0"),
        (b"a face\n a face \n", "at least 2 different ones, a line each, but .* has 1"),
        ("a\nb".encode("utf-16"), "text in UTF-8, but .* is not from byte 0 on; save it as UTF-8"),
        (b"a face\nein H\xe4uschen\n", "text in UTF-8, but .* is not from byte 12 on"),
        (b"PK\x03\x04\x00\x00\na\nb", "text in UTF-8, but .* holds null bytes"),
    ],
)
def test_a_file_that_holds_no_captions_is_refused_before_any_work(
    tmp_path, no_work, content, message
):
    path = tmp_path / "c.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        main(words(path, tmp_path / "p.safetensors"))


def test_no_such_file_and_a_folder_are_refused(tmp_path, no_work):
    for path, message in ((tmp_path / "x", "is no such file"), (tmp_path, "is a folder")):
        with pytest.raises(ConfigError, match=f"captions must be a text file, but .* {message}"):
            main(words(path, tmp_path / "p.safetensors"))


def test_a_path_through_a_file_is_refused_with_its_reason(file):
    with pytest.raises(ConfigError, match=r"captions must be readable, but .*: Not a directory"):
        read_captions(file / "x")


# where it goes


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("gone/p.safetensors", "results must be writable to .*; make its folder first"),
        ("captions.txt/p.safetensors", "results must be writable to .*; choose a path whose"),
        ("captions.txt", r"a prior's name must end in \.safetensors, got '.*captions\.txt'"),
        ("folder.safetensors", "must replace an ordinary file, got '.*folder.safetensors'"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    file, tmp_path, no_work, out, message
):
    (tmp_path / "folder.safetensors").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match=message):
        main(words(file, tmp_path / out))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("components=0", ConfigError, "components must be at least 1, got 0"),
        ("components=many", ConfigError, "components must be a whole number, got 'many'"),
        ("caption=x", UnknownNameError, "no setting named 'caption'; did you mean captions"),
    ],
)
def test_a_wrong_word_is_refused_before_any_work(file, tmp_path, no_work, word, error, message):
    with pytest.raises(error, match=message):
        main(words(file, tmp_path / "p.safetensors", word))


def test_what_fails_leaves_the_old_file_and_nothing_else(file, tmp_path, monkeypatch):
    out = tmp_path / "p.safetensors"
    out.write_bytes(b"old")

    def fail(*_, **__):
        raise FeatureKitError("broken on the way")

    monkeypatch.setattr("featurekit.images.io.save_file", fail)
    with pytest.raises(FeatureKitError, match="broken on the way"):
        main(words(file, out))
    assert out.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [file, out]
