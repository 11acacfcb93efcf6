"""Addresses at which no store can be: one sentence, soon, exit code 2, and nobody's key in it."""

import http.server
import socket
import sys
import threading

import fsspec
import numpy as np
import pytest
from buckets import forget, objects, settings
from fake_features import SPEC, read, refs
from PIL import Image

from featurekit import backbones
from featurekit.cli.router import main
from featurekit.core.errors import ConfigError, FeatureKitError, OutputError
from featurekit.store.places import services
from featurekit.store.places.address import Address, found
from featurekit.store.places.place import place_at, place_to_write
from featurekit.store.places.services import said_by, shown
from featurekit.store.read import StoredFeatures
from featurekit.store.upkeep import verify_store
from featurekit.store.write import write_store

KEYS = "s3://AKIDEXAMPLE:wJalrXUtnFEMI%2FK7@bucket/prefix"


@pytest.fixture
def album(tmp_path, monkeypatch):
    """Two pictures, and no model: what is wrong with an address is said before one is loaded."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    monkeypatch.setattr(backbones, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def service(monkeypatch):
    """Point the environment at an address of this machine, with keys that mean nothing."""
    pytest.importorskip("s3fs")

    def at(endpoint):
        for name, value in settings(endpoint).items():
            monkeypatch.setenv(name, value)
        forget()

    yield at
    monkeypatch.undo()
    forget()


def refused(url, album, capsys):
    """The sentence that a command ends with."""
    assert main(["extract", f"image={album}", "backbone=random", f"store={url}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    (sentence,) = err.splitlines()
    return sentence


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "s4://bucket/s",
            "no protocol of a store named 's4'; known: az, gs, memory, s3; or any other",
        ),
        ("s3://", "the address of a store must name a place, such as s3://bucket/prefix"),
        ("s3:///", "the address of a store must name a place"),
        ("s3:///prefix", "must name a place, such as s3://bucket/prefix, got 's3:///prefix'"),
        ("https://127.0.0.1/s", "must be at an address that can be written to"),
        ("s3://bucket/s?versionId=1", "must be plain, without :: and ?, got 's3://bucket/s'"),
        ("simplecache::s3://bucket/s", "must be plain, without :: and ?"),
    ],
)
def test_an_address_of_no_store_is_one_sentence(url, sentence, album, capsys, tmp_path):
    assert sentence in refused(url, album, capsys)
    assert [one.name for one in tmp_path.iterdir()] == ["album"]


def test_a_missing_extra_is_one_sentence(album, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    services.reached.cache_clear()
    assert refused("s3://bucket/s", album, capsys).endswith(
        "a store at s3:// needs a package that is not installed; pip install 'featurekit[scale]'"
    )


def test_another_missing_package_is_one_sentence(album, capsys):
    pytest.importorskip("s3fs")
    if "gcsfs" in sys.modules:
        pytest.skip("gcsfs is installed")
    assert refused("gs://bucket/s", album, capsys).endswith("; pip install 'gcsfs'")


@pytest.mark.parametrize(
    ("protocol", "lacks", "package"),
    [
        ("az", "adlfs", "adlfs"),
        ("sftp", "paramiko", "paramiko"),
        ("smb", "smbclient", "smbprotocol"),
        ("webhdfs", "requests", "requests"),
    ],
)
def test_the_package_of_an_address_is_named_as_pip_does(protocol, lacks, package, monkeypatch):
    monkeypatch.setitem(sys.modules, lacks, None)
    for name in [one for one in sys.modules if one.startswith("fsspec.implementations.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, protocol, raising=False)
    services.reached.cache_clear()
    with pytest.raises(ConfigError, match=rf"not installed; pip install '{package}'$"):
        place_at(f"{protocol}://bucket/s")


def test_a_bucket_that_is_not_there_is_one_sentence(bucket_settings, album, capsys):
    sentence = refused("s3://no-such-bucket/s", album, capsys)
    assert "results at 's3://no-such-bucket/s' must be writable, but" in sentence
    assert "bucket does not exist; make it first" in sentence
    assert main(["store", "verify", "s3://no-such-bucket/s"]) == 2
    assert "must be a folder with store.json, found none in" in capsys.readouterr().err


def test_a_port_at_which_nobody_listens_is_one_sentence(service, album, capsys):
    service("http://127.0.0.1:9")
    sentence = refused("s3://bucket/s", album, capsys)
    assert "a store at 's3://bucket/s' must answer, but" in sentence


def test_silence_is_one_sentence_soon(service, album, capsys, monkeypatch):
    monkeypatch.setattr(services, "ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        service(f"http://127.0.0.1:{silent.getsockname()[1]}")
        sentence = refused("s3://bucket/s", album, capsys)
    assert "must answer, but has not in 0 s" in sentence


def test_patience_with_a_service_is_less_than_twenty_seconds():
    assert services.ANSWER_S < 20


class _Refusing(http.server.BaseHTTPRequestHandler):
    """Answers that something is not for this account; ``allowed`` may be asked for all the same."""

    allowed = ("HEAD", "GET")

    def _answer(self):
        missing = self.command in self.allowed
        code, word = (404, "NoSuchKey") if missing else (403, "AccessDenied")
        said = "not there" if missing else "Access Denied to testing"
        body = f"<Error><Code>{word}</Code><Message>{said}</Message></Error>".encode()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class _RefusingAll(_Refusing):
    allowed = ()


for _method in ("GET", "HEAD", "PUT", "DELETE"):
    setattr(_Refusing, f"do_{_method}", _Refusing._answer)


@pytest.fixture(params=[_Refusing, _RefusingAll])
def forbidden(request):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), request.param)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_an_account_may_not_do_is_one_sentence(service, forbidden, album, capsys):
    service(forbidden)
    sentence = refused("s3://bucket/s", album, capsys)
    assert "; set the keys of an account that may" in sentence
    assert "'s3://bucket/s" in sentence


def test_memory_that_workers_do_not_see_is_refused(album, capsys):
    words = ["extract", f"image={album}", "backbone=random", "store=memory://s/a", "engine=ray"]
    assert main(words) == 2
    assert "must be where all workers of ray see it" in capsys.readouterr().err


# keys


def test_no_key_of_an_address_is_shown():
    assert shown(KEYS) == "s3://***@bucket/prefix"
    assert str(Address(KEYS) / "0001" / "a.jsonl") == "s3://***@bucket/prefix/0001/a.jsonl"
    assert "wJalr" not in repr(Address(KEYS))
    assert shown("abfs://container@account.dfs.core.windows.net/s").count("container") == 1
    assert shown("a folder/of mine") == "a folder/of mine"


def test_a_service_that_says_keys_again_is_not_quoted():
    error = ValueError(f"no {KEYS}: AKIDEXAMPLE with wJalrXUtnFEMI/K7 is unknown\nmore")
    text = said_by(error, KEYS)
    assert not [one for one in ("AKIDEXAMPLE", "wJalr") if one in text]
    assert text.endswith("is unknown")
    assert len(said_by(ValueError("x" * 5000), KEYS)) < 400


def test_no_key_reaches_a_message_of_a_command(service, album, capsys):
    service("http://127.0.0.1:9")
    address = KEYS.replace("s3:", "ftp:").replace("bucket", "127.0.0.1:9")
    for words in (
        ["extract", f"image={album}", "backbone=random", f"store={address}"],
        ["extract", f"image={album}", "backbone=random", f"store={address}", "out=x"],
        ["store", "verify", address],
    ):
        assert main(words) == 2
        said = "".join(capsys.readouterr())
        assert "127.0.0.1" in said
        assert not [one for one in ("AKIDEXAMPLE", "wJalr") if one in said]


# places


def test_a_file_address_is_a_folder_of_this_machine(tmp_path):
    assert place_at(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert place_at(f"local://{tmp_path}") == tmp_path
    assert place_at(str(tmp_path)) == place_at(tmp_path) == tmp_path


def test_a_path_that_was_an_address_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="must be text, since a path loses a slash"):
        place_at(tmp_path.__class__("s3://bucket/s"))


def test_an_address_ends_without_a_slash():
    assert found("memory://a/b//") == found("memory://a/b") == place_at("memory://a/b/")
    assert str(place_to_write("memory://a/b/")) == "memory://a/b"


def test_a_service_without_conditions_takes_what_it_takes(monkeypatch):
    fsspec.filesystem("memory").store.clear()
    path = place_at("memory://a/b") / "store.json"
    plain = type(path._service).pipe_file

    def without(self, key, content, **words):
        if words:
            raise NotImplementedError("no conditions here")
        plain(self, key, content)

    monkeypatch.setattr(type(path._service), "pipe_file", without)
    assert path.put_new(b"one")
    assert not path.put_new(b"two")
    assert path.read_bytes() == b"one"


def test_a_put_that_breaks_off_leaves_nothing_to_be_seen(bucket, monkeypatch):
    """A large object goes in parts, of which none is seen before the last."""
    s3fs = pytest.importorskip("s3fs")
    call, puts = s3fs.S3FileSystem._call_s3, s3fs.S3FileSystem._pipe_file
    parts = []

    async def breaking(self, method, *words, **named):
        if method == "upload_part":
            parts.append(named["PartNumber"])
            if named["PartNumber"] == 2:
                raise OSError("the network is gone")
        return await call(self, method, *words, **named)

    async def in_parts(self, path, data, **named):
        return await puts(self, path, data, **{**named, "chunksize": 5 * 2**20})

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", breaking)
    monkeypatch.setattr(s3fs.S3FileSystem, "_pipe_file", in_parts)
    forget()
    path = place_at(f"{bucket}/s") / "large"
    with pytest.raises(OutputError, match="must be writable, but the network is gone"):
        path.put(bytes(11 * 2**20))
    assert 2 in parts
    assert objects(bucket) == {}
    service = path._service
    begun = service.call_s3("list_multipart_uploads", Bucket=bucket.removeprefix("s3://"))
    assert begun.get("Uploads", []) == []
    forget()


def test_a_service_that_goes_away_is_one_sentence_and_loses_nothing(bucket, monkeypatch):
    url = f"{bucket}/s"
    write(url, refs(9))
    before = objects(url)
    plain = Address.put

    def gone(self, content):
        if self.suffix == ".jsonl":
            monkeypatch.setattr(self._service, "pipe_file", _unreachable)
        plain(self, content)

    monkeypatch.setattr(Address, "put", gone)
    with pytest.raises(OutputError, match="must be writable, but Could not connect"):
        write(url, refs(23))
    monkeypatch.undo()
    assert before.items() <= objects(url).items()
    assert verify_store(url) == ()
    write(url, refs(23))
    assert len(StoredFeatures(url)) == 23


def write(url, samples):
    write_store(url, samples, read=read, spec=SPEC)


def _unreachable(*_, **__):
    raise ConnectionError("Could not connect to the endpoint")


def test_every_mistake_is_one_of_the_toolkit(monkeypatch):
    with pytest.raises(FeatureKitError, match="no protocol of a store named 'nope'"):
        place_at("nope://a/b")
