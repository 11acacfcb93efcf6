"""Who answers at RAY_ADDRESS, what a cluster of our own leaves and what Ray says; without Ray."""

import socket
import sys
import threading
from types import SimpleNamespace

import pytest

from featurekit.core.errors import ConfigError
from featurekit.scale import ray_address
from featurekit.scale.ray_address import check_answers
from featurekit.scale.ray_here import forget, started_here
from featurekit.scale.ray_quiet import quiet_about_deaths


@pytest.fixture
def listening():
    """A server that takes one connection and answers with what it is given."""
    made = []

    def listen(answer):
        server = socket.create_server(("127.0.0.1", 0))

        def serve():
            connection, _ = server.accept()
            made.append(connection)
            if answer:
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        made.append(server)
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield listen
    for one in made:
        one.close()


SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


def framed(kind, flags, body):
    """A frame of HTTP/2 in the first stream."""
    return len(body).to_bytes(3, "big") + bytes((kind, flags, 0, 0, 0, 1)) + body


def trailers(status):
    """What a service of gRPC answers with that does not do the call."""
    return framed(1, 5, b"\x88@\x0ccontent-type\x10application/grpc\x00\x0bgrpc-status" + status)


@pytest.mark.parametrize("answer", [b"", SETTINGS, SETTINGS[:4], SETTINGS + framed(1, 4, b"\x88")])
def test_an_address_that_falls_silent_is_an_error_soon(listening, monkeypatch, answer):
    monkeypatch.setattr(ray_address, "ANSWER_S", 0.2)
    with pytest.raises(ConfigError, match="gave: no answer; start it with ray start --head"):
        check_answers(listening(answer))


def test_an_address_that_nobody_listens_at_is_an_error():
    with pytest.raises(ConfigError, match="Connection refused"):
        check_answers("127.0.0.1:1")


def test_patience_with_an_address_is_less_than_twenty_seconds():
    assert 2 * ray_address.ANSWER_S < 20  # to connect, and to hear who answers


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        SETTINGS + framed(1, 5, b"\x8d"),  # HTTP/2's 404
        SETTINGS + trailers(b"\x0212"),  # a service of gRPC that does not know the call
        SETTINGS + framed(0, 0, bytes(1 << 15)),  # longer than is allowed
    ],
)
def test_another_server_than_a_cluster_is_told_from_it(listening, answer):
    with pytest.raises(ConfigError, match="something else answers"):
        check_answers(listening(answer))


@pytest.mark.parametrize(
    "answer",
    [
        SETTINGS + framed(1, 4, b"\x88") + framed(0, 0, bytes(5)),
        SETTINGS + trailers(b"\x0216"),  # it asks for a token
    ],
)
def test_a_head_is_known_by_its_answer_to_a_call(listening, answer):
    check_answers(listening(answer))


@pytest.mark.parametrize("found", [None, ""])
def test_auto_without_a_cluster_says_how_to_start_one(monkeypatch, found):
    services = SimpleNamespace(find_bootstrap_address=lambda folder: found)
    monkeypatch.setitem(sys.modules, "ray._private.services", services)
    with pytest.raises(ConfigError, match=r"RAY_ADDRESS=auto must .* ray start --head"):
        started_here()


def test_of_a_cluster_that_has_ended_its_own_folder_and_link_go(tmp_path):
    ours, theirs = tmp_path / "session_1", tmp_path / "session_2"
    link = tmp_path / "session_latest"
    for folder in (ours, theirs):
        (folder / "logs").mkdir(parents=True)
    link.symlink_to(theirs)
    forget(ours)
    assert sorted(tmp_path.iterdir()) == [theirs, link]
    link.unlink()
    link.symlink_to(theirs)
    forget(theirs)
    assert not list(tmp_path.iterdir())


def test_what_ray_says_of_a_dead_worker_is_left_out_in_the_block_alone(monkeypatch):
    heard = []

    def prints(data, ignore_prefix):
        heard.append(data["pid"])

    module = SimpleNamespace(print_to_stdstream=prints)
    monkeypatch.setitem(sys.modules, "ray._private.worker", module)
    with quiet_about_deaths():
        module.print_to_stdstream({"pid": "raylet"}, ignore_prefix=False)
        module.print_to_stdstream({"pid": "autoscaler"}, ignore_prefix=False)
    module.print_to_stdstream({"pid": "raylet"}, ignore_prefix=False)
    assert heard == ["autoscaler", "raylet"]
    assert module.print_to_stdstream is prints


@pytest.mark.parametrize("address", ["10.0.0.1", "ray://10.0.0.1:10001", "a:b", ":6379"])
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(ConfigError, match="RAY_ADDRESS must be host:port"):
        check_answers(address)
