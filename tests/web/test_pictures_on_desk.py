"""Pictures and results in the studio's folder: kept, shown at any size, there after a restart."""

from io import BytesIO

import pytest
from PIL import Image
from studio_desk import opened, picture, printed_tab

from featurekit.core.errors import ConfigError, ImageError, UnknownNameError
from featurekit.web import blobs as kept
from featurekit.web import pictures
from featurekit.web.blobs import Blobs
from featurekit.web.pictures import Shelf


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def test_without_a_picture_the_desk_says_what_to_do(shelf):
    with pytest.raises(ConfigError, match="a picture must be on the desk first"):
        shelf.get()


def test_a_picture_is_known_by_its_bytes_alone(shelf):
    one, again = shelf.put(picture(), "a.png"), shelf.put(picture(), "b.png")
    other = shelf.put(picture(colour="teal"), "c.png", select=False)
    assert one.id == again.id != other.id
    assert shelf.get().id == one.id
    assert [two["name"] for two in shelf.told["pictures"]] == ["c.png", "a.png"]
    assert shelf.select(other.id).name == "c.png"
    assert shelf.get().id == other.id


def test_a_picture_is_upright(shelf):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = BytesIO()
    Image.new("RGB", (40, 20)).save(file, "JPEG", exif=exif)
    found = shelf.put(file.getvalue(), "phone.jpg")
    assert (found.width, found.height) == (20, 40)


def test_a_picture_is_there_after_a_restart_and_damage_is_told(shelf, tmp_path):
    found = shelf.put(picture(), "me.png")
    after = Shelf(tmp_path)
    assert after.told == shelf.told
    assert after.get().image.size == (64, 48)
    found.path.write_bytes(b"gone")
    with pytest.raises(ImageError, match=r"'me\.png' is none"):
        Shelf(tmp_path).get()
    found.path.unlink()
    assert Shelf(tmp_path).told == {"pictures": [], "current": None}


@pytest.mark.parametrize("content", ["", "[]", '{"pictures": 3}', '{"pictures": [{"id": "../x"}]}'])
def test_a_damaged_index_is_an_empty_shelf(tmp_path, content):
    (tmp_path / "pictures.json").write_text(content)
    assert Shelf(tmp_path).told == {"pictures": [], "current": None}


def test_a_large_picture_is_worked_on_smaller_and_its_size_is_its_own(shelf):
    found = shelf.put(picture(8192, 2000), "wide.png")
    assert (found.width, found.height) == (8192, 2000)
    assert found.at_most(512).size == (512, 125)
    assert found.at_most(9000) is found.image
    content, kind = shelf.shown(found.id, 8192)
    assert kind == "image/jpeg"
    assert Image.open(BytesIO(content)).size == (8192, 2000)
    with pytest.raises(ImageError, match="at most 8192 px a side, got 8193 x 8"):
        shelf.put(picture(8193, 8), "wider.png")


def test_a_picture_is_shown_at_no_more_than_was_asked_and_never_enlarged(shelf):
    found = shelf.put(picture(), "me.png")
    for side, size in ((32, (32, 24)), (1, (16, 12)), (9999, (64, 48))):
        content, kind = shelf.shown(found.id, side)
        assert kind == "image/png"
        assert Image.open(BytesIO(content)).size == size
    with pytest.raises(UnknownNameError, match="no picture named 'none'"):
        shelf.shown("none", 64)


def test_the_shelf_has_room_for_some_and_the_one_on_the_desk_stays(shelf, monkeypatch):
    monkeypatch.setattr(pictures, "MOST", 3)
    first = shelf.put(picture(9, 9), "first.png")
    for side in range(10, 16):
        shelf.put(picture(side, 9), f"{side}.png", select=False)
    names = [one["name"] for one in shelf.told["pictures"]]
    assert len(names) == 3
    assert "first.png" in names
    assert shelf.get().id == first.id
    files = [one for one in first.path.parent.iterdir() if one.suffix != ".json"]
    assert len(files) == 3


def test_memory_holds_few_pictures_whatever_is_shown(shelf, monkeypatch):
    monkeypatch.setattr(pictures, "ENCODED_BYTES", 2000)
    for side in range(10, 30):
        found = shelf.put(picture(side, 9), f"{side}.png")
        for shown in (16, 20, 24):
            shelf.shown(found.id, shown)
    assert len(shelf._decoded) <= pictures.DECODED
    assert sum(len(one) for one, _ in shelf._encoded.values()) <= 2000


def test_results_are_kept_by_their_bytes_and_found_again(tmp_path):
    blobs = Blobs(tmp_path)
    address = blobs.keep(b"one", "image/png", "edit.png")
    assert address == blobs.keep(b"one", "image/png", "edit.png")
    found = Blobs(tmp_path).get(address.rpartition("/")[2])
    assert (found.content, found.media_type, found.name) == (b"one", "image/png", "edit.png")
    with pytest.raises(ConfigError, match="a result must be one of image/png"):
        blobs.keep(b"one", "text/html", "page.html")
    (tmp_path / address.rpartition("/")[2]).unlink()
    with pytest.raises(UnknownNameError, match="no result named"):
        blobs.get(address.rpartition("/")[2])


def test_results_have_a_budget_and_the_oldest_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "KEPT_BYTES", 30)
    blobs = Blobs(tmp_path)
    addresses = [blobs.keep(bytes([i] * 10), "image/png", "a.png") for i in range(5)]
    there = []
    for address in addresses:
        try:
            there.append(blobs.get(address.rpartition("/")[2]).content[0])
        except UnknownNameError:
            continue
    assert there == [2, 3, 4]


def test_passing_results_are_never_written_and_few(tmp_path):
    blobs = Blobs(tmp_path)
    addresses = [blobs.show(bytes([i]), "image/png") for i in range(kept.PASSING + 5)]
    assert not list(tmp_path.iterdir())
    assert blobs.get(addresses[-1].rpartition("/")[2]).content == bytes([kept.PASSING + 4])
    with pytest.raises(UnknownNameError, match="no result named"):
        blobs.get(addresses[0].rpartition("/")[2])


def test_a_studio_is_as_it_was_left(tmp_path):
    tab = printed_tab(tmp_path)
    studio = opened(tmp_path / "desk", {"blur": tab})
    studio.put_picture(picture(), "me.png", select=True)
    studio.save_page("blur", {"times": 4, "words": "\u00fc"})
    studio.close()
    after = opened(tmp_path / "desk", {"blur": tab})
    assert after.told["pictures"] == studio.told["pictures"]
    assert after.told["tabs"][0]["saved"] == {"times": 4, "words": "\u00fc"}
