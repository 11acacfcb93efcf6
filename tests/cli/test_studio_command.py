"""``featurekit studio`` as a person types it: what it refuses, and that it serves and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from interrupts import hear
from studio_desk import picture

from featurekit.cli import studio as command
from featurekit.cli.router import main
from featurekit.core.locks import held
from featurekit.web import opening


def refused(capsys, *words):
    assert main(["studio", "browser=false", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("featurekit: ")
    assert said.count("\n") == 1
    return said


def test_a_port_in_use_is_a_sentence(capsys, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(capsys, f"port={port}", f"folder={tmp_path}")
    assert f"port must be free, but {port} is in use or not allowed" in said


@pytest.mark.parametrize(("words", "sentence"), [
    (["port=99999"], "port must be 0 (any that is free) to 65535, got 99999"),
    (["port=many"], "port"),
    (["image=none.png"], "image must be a picture file, but 'none.png' is none"),
    (["host=192.0.2.1"], "host must be an address of this machine, got '192.0.2.1'"),
    (["colour=red"], "colour"),
])  # fmt: skip
def test_what_cannot_be_served_is_a_sentence(capsys, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(capsys, f"folder={tmp_path / 'studio'}", *words)


def test_a_file_that_is_no_picture_is_a_sentence(capsys, tmp_path):
    (tmp_path / "me.png").write_text("none")
    said = refused(capsys, f"image={tmp_path / 'me.png'}", f"folder={tmp_path / 'studio'}")
    assert "picture must be a picture in a known format, but 'me.png' is none" in said


def test_a_missing_extra_is_a_sentence(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "import_fault", lambda name: "gone" if name == "uvicorn" else None)
    said = refused(capsys, f"folder={tmp_path}")
    assert "the studio needs uvicorn, not installed; pip install 'featurekit[studio]'" in said


def test_a_folder_has_one_studio(capsys, tmp_path):
    hold = subprocess.Popen(
        [sys.executable, "-c", "import sys; from pathlib import Path; "
         "from featurekit.core.locks import held\n"
         "with held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()", tmp_path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with hold:
        assert hold.stdout.readline() == "held\n"
        said = refused(capsys, f"folder={tmp_path}")
        hold.communicate()
    assert "a studio's folder must not be in use" in said
    assert "end that studio, or give folder=..." in said
    with held(tmp_path):
        pass


@contextmanager
def begun(tmp_path, *words):
    """The command in a process of its own, once it has said its address; gone at the end."""
    (tmp_path / "me.png").write_bytes(picture())
    given = [sys.executable, "-m", "featurekit", "studio", "browser=false", "port=0",
             "folder=studio", *words]  # fmt: skip
    process = subprocess.Popen(
        given, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, preexec_fn=hear,
    )  # fmt: skip
    with process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_it_serves_ends_by_a_signal_and_is_as_it_was_left(tmp_path):
    with begun(tmp_path, "image=me.png") as (process, address):
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address + "state", timeout=60) as answer:
            (found,) = json.load(answer)["pictures"]
        assert found["name"] == "me.png"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command shows the studio as it was left" in said
    assert "Traceback" not in said
    with begun(tmp_path) as (process, address):
        with urllib.request.urlopen(address + "state", timeout=60) as answer:
            assert json.load(answer)["pictures"] == [found]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_beyond_this_machine_the_address_has_a_token(tmp_path):
    with begun(tmp_path, "host=0.0.0.0") as (process, address):
        token = address.partition("?token=")[2]
        assert len(token) > 20
        port = address.rpartition("/")[0].rpartition(":")[2]
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/state", timeout=60)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_the_browser_is_opened_at_the_address(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(command.webbrowser, "open", seen.append)
    monkeypatch.setattr(command.Studio, "warm_up", lambda studio: None)

    class Served:
        address = "http://127.0.0.1:1/"

        def run(self):
            while not seen:
                pass

    monkeypatch.setattr(command, "server", lambda: lambda studio, place: Served())
    assert main(["studio", f"folder={tmp_path}"]) == 0
    assert seen == ["http://127.0.0.1:1/"]
