"""Faces: what is dragged is seen, moods differ, and nothing that matters is hidden or cut."""

from dataclasses import replace

import numpy as np
import pytest

from featurekit.scenes import KINDS, Scene, move, scene
from featurekit.scenes.kinds.faces.face import RANGES, SMILES, TEXTURES

SIZE = 64
SEEDS = range(20)
FACE = KINDS["face"]
MOODS = {"smiling": SMILES[0], "neutral": SMILES[1], "sad": SMILES[2]}


def painted(face, size=SIZE):
    return np.asarray(Scene("face", face, 0).image(size)).astype(int)


def covered(face, size=SIZE):
    return np.asarray(Scene("face", face, 0).foreground(size)) > 127


def both(name, seeds=SEEDS):
    """Before and after of many moves, each with its handles or targets in px."""
    for seed in seeds:
        made = move(seed, "face", name=name)
        for end, one in enumerate((made.before, made.after)):
            yield one.params, [drag[end] for drag in made.drags_px(SIZE)]


def faces(style=None, count=20):
    """The first sampled faces, or those of a style."""
    drawn = (scene(seed, "face").params for seed in range(count * 20))
    chosen = [face for face in drawn if style in (None, face.style)]
    assert len(chosen) >= count
    return chosen[:count]


def test_a_dragged_brow_is_seen():
    for face, points in both("brows"):
        shifted = replace(face, brow=face.brow + (0.07 if face.brow < 0 else -0.07))
        difference = np.abs(painted(face) - painted(shifted)).max(2)
        for x, y in points:
            assert difference[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].max() > 30


def test_a_longer_face_keeps_all_that_is_above_its_nose():
    for seed in SEEDS:
        made = move(seed, "face", name="longer")
        before, after = made.before.keypoints(), made.after.keypoints()
        moved = {name for name in before if before[name] != after[name]}
        assert moved == {"mouth_l", "mouth_r", "mouth_c", "nose", "chin", "collar"}


def test_the_corners_of_a_smile_are_up_and_of_a_sad_mouth_down():
    for seed in range(40):
        face = scene(seed, "face")
        points = face.keypoints()
        corner, middle = points["mouth_l"][1], points["mouth_c"][1]
        assert (corner < middle) is (face.params.smile > 0)


def test_a_mouth_is_red_from_its_middle_to_both_of_its_corners():
    for face in faces():
        bare = replace(face, skin="pale", beard=False, open_mouth=False)
        points = FACE.keypoints(bare)
        for name in ("mouth_l", "mouth_c", "mouth_r"):
            x, y = (int(c * 256) for c in points[name])
            red, green, _ = painted(bare, 256)[y, x]
            assert red - green > 90


@pytest.mark.parametrize("pair", [("smiling", "neutral"), ("neutral", "sad"), ("smiling", "sad")])
def test_two_moods_differ_clearly_at_64_px(pair):
    for face in faces():
        # The nearest that two faces of these moods can be.
        ends = sorted((MOODS[mood] for mood in pair), reverse=True)
        above, below = replace(face, smile=ends[0][0]), replace(face, smile=ends[1][1])
        difference = np.abs(painted(above) - painted(below)).max(2)
        assert (difference > 40).sum() >= 15


def test_both_eyes_are_white_around_and_black_within():
    for face in faces():
        seen = replace(face, look=0.0, glasses=False, light=1)
        picture = painted(seen, 256)
        points = FACE.keypoints(seen)
        for name in ("eye_l", "eye_r"):
            x, y = (c * 256 for c in points[name])
            radius = seen.eye_radius * 256
            assert picture[int(y), int(x)].max() < 60
            for side in (-1, 1):
                assert picture[int(y), int(x + side * radius * 0.95)].min() > 230
            glint = picture[int(y - radius * 0.28), int(x + radius * 0.25)]
            assert glint.min() > 230


def test_a_head_is_not_cut_by_the_frame():
    for face in faces(count=60):
        mask = covered(face)
        chin = int((face.centre_y + face.jaw) * SIZE)
        assert not mask[0].any()
        assert not mask[:chin, [0, -1]].any()


def test_the_dragged_ends_of_long_hair_are_where_the_hair_ends():
    for face, points in both("hair"):
        long = replace(face, hair="black", background="yellow", shirt="white")
        other = painted(replace(long, hair="yellow"))
        difference = np.abs(painted(long) - other).max(2)
        for x, y in points:
            column = slice(max(0, int(x) - 2), int(x) + 3)
            assert difference[int(y) - 3 : int(y), column].max() > 60
            assert difference[int(y) + 2 :, column].max() < 10


def test_the_dragged_tip_of_a_hat_is_the_highest_point_of_all():
    for face, [(x, y)] in both("hat"):
        rows, columns = np.nonzero(covered(face, 256))
        assert rows.min() == pytest.approx(y * 4, abs=4)
        assert columns[rows == rows.min()].mean() == pytest.approx(x * 4, abs=4)


def test_a_sliding_face_carries_everything_along():
    for seed in SEEDS:
        made = move(seed, "face", name="slide")
        before, after = made.before.keypoints(), made.after.keypoints()
        step = np.subtract(after["nose"], before["nose"])
        assert set(before) == set(after)
        for name, point in before.items():
            assert np.subtract(after[name], point) == pytest.approx(step)


def test_only_what_is_seen_has_keypoints():
    for face in faces(count=60):
        names = set(FACE.keypoints(face))
        assert ("ear_l" in names) is (face.style != "long")
        assert ("hair_l" in names) is (face.style == "long")
        assert ("hat" in names) is (face.style == "hat")


def test_a_caption_says_what_texture_a_shirt_and_a_wall_have():
    said = set()
    for seed in range(200):
        made = scene(seed, "face")
        text, face = made.caption(), made.params
        if "shirt" in text:
            plain = f"a {face.shirt} shirt" if face.shirt != "orange" else "an orange shirt"
            assert (plain in text) is (face.shirt_texture is None)
            assert f"{face.shirt_texture or ''} {face.shirt} shirt".strip() in text
        if "background" in text:
            assert (f"{face.texture} {face.background}" in text) is (face.texture is not None)
            said.add(face.texture)
    assert said == set(TEXTURES)


def test_a_caption_names_mood_and_main_colour_and_what_is_worn_and_stays_short():
    for seed in range(300):
        made = scene(seed, "face")
        text, face = made.caption(), made.params
        low, high = MOODS[text.split()[1]]
        assert low <= face.smile <= high
        main = {"hat": f"{face.hat} hat", "bald": f"{face.shirt} shirt"}
        assert main.get(face.style, f"{face.style} {face.hair} hair") in text
        assert ("beard" in text) is face.beard
        assert ("glasses" in text) is face.glasses
        assert len(text.split()) <= 26


def test_a_parameter_outside_its_range_does_not_fit():
    # Low enough in the picture that its head leaves room for the highest hat.
    face = replace(scene(0, "face").params, radius_y=0.2, centre_y=0.48, hat_height=0.2)
    assert FACE.fits(face)
    for name, (low, high) in RANGES.items():
        assert FACE.fits(replace(face, **{name: low}))
        assert FACE.fits(replace(face, **{name: high}))
        assert not FACE.fits(replace(face, **{name: low - 0.001}))
        assert not FACE.fits(replace(face, **{name: high + 0.001}))


def test_a_mouth_that_no_face_has_does_not_fit():
    assert not FACE.fits(replace(scene(0, "face").params, smile=0.03))


def test_a_hat_that_the_frame_would_cut_does_not_fit():
    high = replace(scene(0, "face").params, radius_y=0.25, centre_y=0.38, hat_height=0.2)
    assert FACE.fits(replace(high, hat_height=0.2))
    assert not FACE.fits(replace(high, hat_height=0.21))


@pytest.mark.parametrize(
    "alike",
    [
        {"background": "blue", "shirt": "blue"},
        {"background": "yellow", "hair": "yellow"},
        {"background": "purple", "hat": "purple"},
        {"hair": "red", "shirt": "red"},
        {"hair": "black", "hat": "black"},
        {"hair": "brown", "skin": "dark"},
    ],
)
def test_things_of_the_colour_of_what_is_behind_them_do_not_fit(alike):
    colours = {"background": "cyan", "hair": "gray", "hat": "green", "shirt": "white"}
    face = replace(scene(0, "face").params, **colours, skin="pale")
    assert FACE.fits(face)
    assert not FACE.fits(replace(face, **alike))
