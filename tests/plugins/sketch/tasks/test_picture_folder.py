"""The pictures of a folder: in which order they are drawn, and what is told of those left out."""

from pathlib import Path

from featurekit_sketch.tasks.picture_folder import Skipped, in_order, report


def ordered(*names):
    return [path.name for path in in_order([Path(name) for name in names])]


def test_numbers_are_sorted_by_their_value():
    assert ordered("b10.png", "b2.png", "B1.jpg", "a.JPEG", "10.png", "9.png", "b2a3.png") == [
        "9.png", "10.png", "a.JPEG", "B1.jpg", "b2.png", "b2a3.png", "b10.png"
    ]  # fmt: skip


def test_names_may_begin_with_digits_letters_or_signs():
    given = "10.png", "9.png", "a.png", "_1.png", "1a.png", "Z3.jpg", "3²4.png", "٣.png"
    found = ordered(*given)
    assert set(found) == set(given)
    assert found.index("9.png") < found.index("10.png") < found.index("a.png")


def test_names_that_count_as_equal_are_in_one_order_only():
    given = "a1.png", "A1.png", "a01.png", "a001.png", "A01.png"
    expected = ["A01.png", "A1.png", "a001.png", "a01.png", "a1.png"]
    assert ordered(*given) == ordered(*reversed(given)) == expected


def test_a_report_names_each_file_with_its_reason():
    assert report([]) == ""
    assert report([Skipped(Path("x/a.txt"), "no")]) == "1 file was skipped:\n  a.txt: no"
    assert report([(Path("a"), "x"), (Path("b"), "y")]) == ("2 files were skipped:\n  a: x\n  b: y")


def test_a_long_report_says_how_many_it_leaves_out():
    told = report([Skipped(Path(f"{n}.txt"), "no") for n in range(30)]).splitlines()
    assert told[0] == "30 files were skipped:"
    assert told[-2:] == ["  7.txt: no", "  and 22 more"]
