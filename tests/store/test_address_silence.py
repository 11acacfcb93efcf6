"""A service that falls silent: any operation ends in a sentence; a transfer that moves goes on."""

import threading
import time
from contextlib import suppress

import pytest
from buckets import forget, objects, settings
from fake_features import SPEC, read, refs
from silent_service import Hushing, SilentService

from featurekit.core.errors import ConfigError, FeatureKitError, OutputError
from featurekit.store.places import services, silence
from featurekit.store.places.address import Address
from featurekit.store.places.place import place_to_write
from featurekit.store.read import StoredFeatures
from featurekit.store.upkeep import verify_store
from featurekit.store.write import write_store

pytest.importorskip("s3fs")
SOON_S = 30.0  # far above what any takes here; for ever is what is refused
SILENT = r"must be (read|writ)able, but (has not answered for|it has gone silent).*; check the addr"
STUTTER_S = 1.0  # that a busy machine may take between two pieces
LONG = bytes(2**22)  # which a slow service is more than two seconds at
LARGE = bytes(101 * 2**20)  # which goes in parts

OPERATIONS = {
    "list": lambda at: at.children(),
    "list all": lambda at: at.listed(),
    "get": lambda at: at.read_bytes(),
    "get parts": lambda at: at.read_ranges([(0, 3), (5, 9)]),
    "get many": lambda at: at.read_together([at / str(number) for number in range(64)]),
    "put": lambda at: at.put(b"x"),
    "put what no buffer holds": lambda at: at.put(bytes(2**24)),
    "delete": lambda at: at.unlink(),
}
WITHOUT_A_BODY = {  # of the answer
    "head": lambda at: at.exists(),
    "put a first one": lambda at: at.put_new(b"x"),
}


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    """Patience that tests have, and what sets another."""

    def of(stall_s, silence_s=0.1):
        for name, seconds in (("STALL_S", stall_s), ("SILENCE_S", silence_s)):
            monkeypatch.setattr(silence, name, seconds)

    of(0.2)
    return of


@pytest.fixture
def reach(monkeypatch):
    """Point the environment at a service, and close it after the test."""
    reached = []

    def at(service):
        reached.append(service)
        for name, value in settings(service.endpoint).items():
            monkeypatch.setenv(name, value)
        forget()
        return service

    yield at
    for one in reached:
        one.close()
    monkeypatch.undo()
    forget()


@pytest.fixture
def service(reach):
    return reach(SilentService())


def place(service, mood="answering"):
    """An address that has been reached, before the service's mood is another."""
    found = Address("s3://bucket/s")
    assert found.key == "bucket/s"
    service.mood = mood
    return found


def assert_silent(operation, at):
    began = time.monotonic()
    with pytest.raises(FeatureKitError, match=SILENT):
        operation(at)
    assert time.monotonic() - began < SOON_S


@pytest.mark.parametrize("name", [*OPERATIONS, *WITHOUT_A_BODY])
def test_no_answer_is_one_sentence_soon(service, name):
    assert_silent({**OPERATIONS, **WITHOUT_A_BODY}[name], place(service, "mute"))


@pytest.mark.parametrize("name", ["get", "put", "put what no buffer holds"])
def test_what_is_not_even_read_is_one_sentence_soon(service, name):
    assert_silent(OPERATIONS[name], place(service, "deaf"))


def test_what_is_not_answered_is_asked_again_while_there_is_patience(service, impatience):
    impatience(0.2, silence_s=1.0)
    at = place(service, "mute")
    service.asked.clear()
    assert_silent(OPERATIONS["delete"], at)
    assert 2 <= len(service.asked) < 5


@pytest.mark.parametrize("name", OPERATIONS)
def test_half_an_answer_is_one_sentence_soon(service, name):
    assert_silent(OPERATIONS[name], place(service, "stalling"))


def test_none_of_those_that_are_asked_together_waits_for_another_s_answer(service, impatience):
    impatience(SOON_S)
    at = place(service, "mute")
    service.asked.clear()

    def ask():
        with suppress(FeatureKitError):  # as the service ends
            OPERATIONS["get many"](at)

    many = threading.Thread(target=ask)
    many.start()
    began = time.monotonic()
    while len(service.asked) < silence.AT_ONCE and time.monotonic() - began < SOON_S / 3:
        time.sleep(0.01)
    assert len(service.asked) == silence.AT_ONCE
    service.close()
    many.join()


def test_silence_in_the_middle_of_parts_is_one_sentence_soon(service):
    at = place(service, "mute parts")
    assert_silent(lambda at: at.put(LARGE), at)
    assert ("POST", "/bucket/s?uploads") in service.asked
    assert [path for method, path in service.asked if method == "DELETE"]  # of what was begun


def test_an_upload_that_moves_goes_on_for_longer_than_silence_may(service, impatience):
    impatience(STUTTER_S)
    at = place(service, "slow")
    began = time.monotonic()
    at.put(LONG)
    assert time.monotonic() - began > 2 * STUTTER_S
    assert [method for method, _ in service.asked].count("PUT") == 1  # and is not begun again


def test_a_download_that_moves_goes_on_for_longer_than_silence_may(service, impatience):
    impatience(STUTTER_S)
    service.body = LONG
    at = place(service, "slow")
    began = time.monotonic()
    assert at.read_bytes() == service.body
    assert time.monotonic() - began > 2 * STUTTER_S


def test_a_first_object_that_is_not_taken_is_one_sentence_soon(service, monkeypatch):
    monkeypatch.setattr(silence, "SILENCE_S", 60.0)
    place(service, "mute parts")
    monkeypatch.setattr(services, "ANSWER_S", 0.3)
    with pytest.raises(ConfigError, match="'s3://bucket/s' must take an object, but has not in 0"):
        place_to_write("s3://bucket/s")


def test_a_service_that_falls_silent_in_the_middle_of_a_run_loses_nothing(
    bucket, bucket_settings, reach, impatience
):
    impatience(10.0, silence_s=45.0)
    url = f"{bucket}/s"
    hushing = reach(Hushing(bucket_settings))
    write(url, refs(9))
    before = objects(url)
    impatience(2.0)
    forget()
    hushing.heard = 45
    with pytest.raises((OutputError, ConfigError), match=SILENT):
        write(url, refs(40))
    impatience(10.0, silence_s=45.0)
    reach(Hushing(bucket_settings))
    assert before.items() <= objects(url).items()
    assert len(objects(url)) > len(before)
    assert [str(one) for one in verify_store(url) if not one.loose] == []
    write(url, refs(40))
    assert len(StoredFeatures(url)) == 40


def write(where, samples):
    write_store(where, samples, read=read, spec=SPEC)


def test_settings_of_the_user_go_first(monkeypatch):
    own = {"read_timeout": 60, "max_pool_connections": 3}
    monkeypatch.setitem(silence.fsspec.config.conf, "s3", {"config_kwargs": own})
    found = silence.patience("s3")["config_kwargs"]
    assert (found["read_timeout"], found["max_pool_connections"]) == (60, 3)
    assert found["connect_timeout"] == silence.CONNECT_S
    assert silence.patience("memory") == {}
