"""Pickles as plain data: every protocol reads as it was written, and nothing in one is called."""

import collections
import datetime
import pickle
from contextlib import suppress

import numpy as np
import pytest

from featurekit.core.errors import ConfigError
from featurekit_drag.datasets import pickle_reader
from featurekit_drag.datasets.pickle_reader import plain_data, read_pickle

PROTOCOLS = range(6)
CALLED = []


def mark(*arguments):
    """What a file would call if anything in it were called."""
    CALLED.append(arguments)


class Calls:
    def __reduce__(self):
        return mark, ("called",)


class Thing:
    def __init__(self):
        self.value = 1


def sample():
    mask = np.zeros((5, 7), np.uint8)
    mask[1:3, 2:6] = 1
    return {"prompt": "a photo of a cät", "points": [[1, 2], [3, 4]], "mask": mask}


def same(found, wanted):
    if isinstance(wanted, np.ndarray):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key, value in wanted.items():
            same(found[key], value)
    elif isinstance(wanted, list | tuple):
        assert type(found) is type(wanted)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
    else:
        assert (type(found), found) == (type(wanted), wanted)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_dragbench_holds_reads_as_it_was_written(protocol):
    same(plain_data(pickle.dumps(sample(), protocol)), sample())


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        {"numbers": [0, 255, -1, 2**31, -(2**40), 2**63 - 1, 1.5, -0.0, True, False, None]},
        {"bytes": b"\x00\xff", "none": b"", "text": "line\nbreak \\ ü €", "pair": ((1, 2), ())},
        {"many": [[i, i + 1] for i in range(2000)], "empty": {}, "list": []},
        {
            "c": np.arange(24, dtype=">i4").reshape(2, 3, 4),
            "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        },
        {"bool": np.array([[True, False]]), "half": np.ones(3, np.float16), "flat": np.zeros(0)},
        {"part": np.arange(20, dtype=np.uint8)[::2], "single": np.array(3.0)},
    ],
)
def test_plain_data_of_each_kind_reads_as_it_was_written(protocol, value):
    same(plain_data(pickle.dumps(value, protocol)), value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_of_numpy_become_numbers(protocol):
    points = [[np.int64(3), np.float32(0.5)]]
    same(plain_data(pickle.dumps(points, protocol)), [[3, 0.5]])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_1_writes_other_names_for_the_same(protocol):
    data = pickle.dumps(sample(), protocol)
    for name in ("multiarray", "numeric"):  # shorter by a letter, and so is the length before it
        new, old = f"numpy._core.{name}".encode(), f"numpy.core.{name}".encode()
        data = data.replace(bytes([len(new)]) + new, bytes([len(old)]) + old).replace(new, old)
    if protocol >= 4:  # without the frame, whose length is the old one
        assert data[2:3] == pickle.FRAME
        data = data[:2] + data[11:]
    assert b"numpy.core" in data
    same(plain_data(data), sample())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shared_parts_stay_shared(protocol):
    mask = np.ones((2, 2), np.uint8)
    found = plain_data(pickle.dumps({"a": mask, "b": mask, "c": [[1], [1]]}, protocol))
    same(found, {"a": mask, "b": mask, "c": [[1], [1]]})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_cannot_be_written_to(protocol):
    mask = plain_data(pickle.dumps(sample(), protocol))["mask"]
    with pytest.raises(ValueError, match="read-only"):
        mask[0, 0] = 1


# what is refused


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_that_would_call_something_is_refused_by_name_and_calls_nothing(protocol):
    data = pickle.dumps({"prompt": Calls()}, protocol)
    with pytest.raises(ConfigError, match=r"names '.*test_pickle_reader\.mark'"):
        plain_data(data)
    assert CALLED == []
    pickle.loads(data)  # what the reader is there to avoid
    assert CALLED.pop() == ("called",)


@pytest.mark.parametrize(
    ("value", "protocol", "said"),
    [
        (Thing(), 0, r"names 'copy_reg\._reconstructor'"),
        (Thing(), 2, r"names '.*\.Thing'"),
        (Thing(), 4, r"names '.*\.Thing'"),
        (len, 0, r"names '__builtin__\.len'"),
        (len, 4, r"names 'builtins\.len'"),
        (datetime.date(2020, 1, 1), 4, r"names 'datetime\.date'"),
        (collections.OrderedDict(a=1), 4, r"names 'collections\.OrderedDict'"),
        (complex(1, 2), 4, r"names 'builtins\.complex'"),
        ({1, 2}, 4, "has the opcode EMPTY_SET"),
        ({1: 2}, 4, "text for the keys"),
        (2**64, 4, "at most 64 bits, and has one of 65"),
        (np.array([object]), 4, "arrays of plain numbers, but has one of 'O8'"),
        (np.array(["text"]), 4, "arrays of plain numbers, but has one of 'U4'"),
        (np.zeros(2, [("a", "u1")]), 4, "arrays of plain numbers, but has one of 'V1'"),
        (np.array(0, "datetime64[s]"), 4, "arrays of plain numbers, but has one of 'M8'"),
        (np.zeros((1,) * 5), 4, "at most 4 axes"),
        (np.ndarray, 4, r"holds numpy\.ndarray itself"),
        (np.dtype("u1"), 4, "holds a dtype itself"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_name(value, protocol, said):
    with pytest.raises(ConfigError, match=said):
        plain_data(pickle.dumps(value, protocol))


def test_each_opcode_that_makes_an_object_is_refused_by_name():
    for data, name in (
        (b"(ios\nsep\n.", "INST"),
        (b"(cos\nsep\no.", "names 'os.sep'"),
        (b"(o.", "OBJ"),
        (b"\x80\x02)\x81.", "NEWOBJ"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"Pname\n.", "PERSID"),
        (b"NQ.", "BINPERSID"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
        (b"S'text'\n.", "STRING"),
    ):
        with pytest.raises(ConfigError, match=name):
            plain_data(data)


def test_a_buffer_beside_the_pickle_is_refused():
    beside = []
    data = pickle.dumps(np.zeros(3), 5, buffer_callback=beside.append)
    with pytest.raises(ConfigError, match="NEXT_BUFFER"):
        plain_data(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no whole pickle"),
        (b".", "takes what is not there"),
        (b"(.", "takes what is not there"),
        (b"K\x01", "no whole pickle"),
        (b"not a pickle", "no whole pickle"),
        (b"h\x07.", "no whole pickle"),  # a memo that was never written
        (b"t.", "no whole pickle"),
        (b"K\x01K\x02a.", "adds to what is no list"),
        (b"}K\x01K\x02s.", "text for the keys"),
        (b"NNR.", "calls what is no name of an array"),
        (b"NNb.", "gives a state to what is no array"),
        (b"cnumpy\ndtype\n)R.", r"calls numpy\.dtype in an unknown way"),
        (b"cbuiltins\nbytes\nK\x09\x85R.", r"calls builtins\.bytes in an unknown way"),
        (
            b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.",
            "_codecs.encode in an un",
        ),
        (pickle.dumps(sample(), 3)[:-30], "no whole pickle"),
    ],
)
def test_a_broken_pickle_is_one_sentence(data, said):
    with pytest.raises(ConfigError, match=said) as error:
        plain_data(data)
    assert "\n" not in str(error.value)


def test_an_array_without_its_bytes_is_refused():
    data = pickle.dumps(np.zeros((2, 3), np.uint8), 3)
    short = data.replace(b"C\x06" + bytes(6), b"C\x05" + bytes(5))
    assert short != data
    with pytest.raises(ConfigError, match=r"shape \(2, 3\) and uint8 has 5 bytes"):
        plain_data(short)


def test_an_array_that_is_only_announced_is_refused():
    data = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR."
    with pytest.raises(ConfigError, match="an array in it has no numbers"):
        plain_data(data)


# files that are small and would become large


def test_a_list_that_holds_itself_is_refused():
    ring = []
    ring.append(ring)
    with pytest.raises(ConfigError, match="at most 16 containers in one another"):
        plain_data(pickle.dumps(ring, 4))


def test_a_tower_of_lists_is_refused():
    tower = []
    for _ in range(200):
        tower = [tower]
    with pytest.raises(ConfigError, match="at most 16 containers in one another"):
        plain_data(pickle.dumps(tower, 4))


def test_parts_that_are_shared_again_and_again_take_no_more_room():
    level = ["leaf"]
    for _ in range(12):
        level = [level] * 10  # a million million leaves, written out
    found = plain_data(pickle.dumps(level, 4))
    assert found[0] is found[9]


def test_bytes_that_are_decoded_again_and_again_are_refused():
    text = b"X" + (1000).to_bytes(4, "little") + b"a" * 1000
    again = b"c_codecs\nencode\n" + text + b"q\x01X\x06\x00\x00\x00latin1q\x02\x86R"
    more = b"c_codecs\nencode\nh\x01h\x02\x86R" * 20
    with pytest.raises(ConfigError, match="must not decode to more than twice its size"):
        plain_data(again + more + b".")


def test_names_and_shapes_that_are_containers_are_never_written_out():
    nest = b"N" + b"2\x86" * 60  # a tuple of itself twice, sixty times over
    with pytest.raises(ConfigError, match="by what is no text"):
        plain_data(nest + nest + b"\x93.")
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R"
    call = b"cnumpy._core.numeric\n_frombuffer\n(C\x00" + dtype + nest + b"X\x01\x00\x00\x00CtR."
    with pytest.raises(ConfigError, match="at most 4 axes"):
        plain_data(call)


def test_more_opcodes_than_any_data_set_has_are_refused(monkeypatch):
    monkeypatch.setattr(pickle_reader, "MOST_OPCODES", 100)
    assert plain_data(pickle.dumps(list(range(40)), 4)) == list(range(40))
    with pytest.raises(ConfigError, match="at most 100 opcodes"):
        plain_data(pickle.dumps(list(range(200)), 4))


def test_a_file_is_read_and_named(tmp_path, monkeypatch):
    path = tmp_path / "meta_data.pkl"
    path.write_bytes(pickle.dumps(sample(), 4))
    same(read_pickle(path), sample())
    path.write_bytes(pickle.dumps(Calls(), 4))
    with pytest.raises(ConfigError, match=r"^meta_data.pkl must hold plain data, but names"):
        read_pickle(path)
    monkeypatch.setattr(pickle_reader, "LARGEST_BYTES", 10)
    with pytest.raises(ConfigError, match=r"^meta_data.pkl must have at most 10 bytes, got \d+$"):
        read_pickle(path)
    with pytest.raises(ConfigError, match=r"none\.pkl cannot be read"):
        read_pickle(tmp_path / "none.pkl")
    assert CALLED == []


def test_random_damage_is_always_one_sentence():
    whole = pickle.dumps(sample(), 2)
    drawn = np.random.default_rng(0)
    for _ in range(500):
        data = bytearray(whole)
        for place in drawn.integers(0, len(data), 3):
            data[place] = drawn.integers(0, 256)
        with suppress(ConfigError):  # any other error fails
            plain_data(bytes(data))
