"""What is read waits for its lessons as long as there is room."""

from dataclasses import dataclass

import pytest

from featurekit_sketch.sampling.feature_cache import ROOM, FeatureCache, Kept, Room


@dataclass(frozen=True)
class Heavy:
    number: int
    bytes: int = 10


def cache(room, weights=None):
    """A cache, and the numbers that were read."""
    read = []

    def make(number):
        read.append(number)
        return Heavy(number, weights[number] if weights else 10)

    return FeatureCache(make, room=room if isinstance(room, Room) else Room(room)), read


def filled(one, count):
    told = []
    one.fill(count, lambda done, total: told.append((done, total)))
    return told


def test_filling_reads_each_number_once_and_tells_all():
    one, read = cache(room=1000)
    assert filled(one, 4) == [(i, 4) for i in range(1, 5)]
    assert [one(i).number for i in (3, 0, 1, 2)] == [3, 0, 1, 2]
    assert read == [0, 1, 2, 3]


@pytest.mark.parametrize(("room", "kept"), [(30, 3), (39, 3), (40, 4), (10, 1)])
def test_filling_stops_when_there_is_no_room_for_more(room, kept):
    one, read = cache(room)
    told = filled(one, 9)
    assert read == list(range(kept))
    assert told == [(i, 9) for i in range(1, kept + 1)]  # what was read is told of
    for number in range(6):
        one(number)
    assert read == [*range(kept), *range(kept, 6)]


def test_what_does_not_fit_at_all_is_read_once_in_vain():
    one, read = cache(room=9)
    filled(one, 5)
    assert read == [0]
    assert one(0).number == 0
    assert read == [0, 0]


def test_the_last_number_that_just_fits_is_told_of():
    one, _ = cache(room=20)
    assert filled(one, 2)[-1] == (2, 2)


def test_a_lighter_one_still_finds_its_place():
    one, read = cache(room=25, weights=[10, 10, 10, 5])
    filled(one, 4)
    assert read == [0, 1]
    for _ in range(2):
        assert one(2).number == 2
        assert one(3).number == 3
    assert read == [0, 1, 2, 3, 2]


def test_filling_nothing_reads_nothing():
    one, read = cache(room=20)
    assert filled(one, 0) == []
    assert read == []


def test_caches_share_their_room_and_one_that_goes_gives_its_part_back():
    room = Room(30)
    first, _ = cache(room)
    second, read = cache(room)
    filled(first, 2)
    filled(second, 2)
    assert room.left == 0
    assert read == [0]
    second(1)
    assert read == [0, 1]  # not kept
    del first
    assert room.left == 20
    second(1)
    second(1)
    assert read == [0, 1, 1]


def test_all_caches_of_a_process_share_one_room_unless_told_otherwise():
    before = ROOM.left
    caches = [FeatureCache(Heavy), FeatureCache(Heavy)]
    for one in caches:
        one(3)
    assert before - ROOM.left == 20
    one = None
    caches.clear()
    assert ROOM.left == before


def test_what_has_a_name_is_made_once_while_there_is_room():
    kept, made = Kept(Room(15)), []

    def make(name):
        made.append(name)
        return Heavy(len(made))

    names = ["a", "b", "a", "b"]
    assert [kept.get(name, lambda name=name: make(name)).number for name in names] == [1, 2, 1, 3]
    assert made == ["a", "b", "b"]
    assert kept.room.left == 5
