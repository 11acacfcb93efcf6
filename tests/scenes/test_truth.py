"""What a drag says is what the pictures show: handles are on things, and things go where told.

Three witnesses that know nothing of ``Kind.keypoints`` and ``Mover.handles``:

- every translation, by pictures: the patch around the handle, searched for in the picture after,
  is found at the target (``slide`` of all five kinds that have it, ``eyes``, ``sun``, ``house``,
  ``tree``, ``ball``, ``door``, ``window``, ``move``);
- every mover, by outlines: one and the same point of one and the same drawn mark, a corner, a
  middle or the middle of a side, lies at the handle before and at the target after. That covers
  all deformations: chins, tips, eaves, doors, limbs. Where the handle is no such point (the nose
  of an animal, the middle of a tree's crown), one within a px of it goes just as far;
- every mover, by outlines: a translation carries all that changes by the drag, a deformation
  does not.
"""

import numpy as np
import pytest
from recorded import marks_of

from featurekit.scenes import KINDS, move

SIZE = 256
FINE = 0.25 / 64  # unit; a quarter of a px of a 64-px picture, one px of these
MOVERS = [(kind.name, mover.name) for kind in KINDS.values() for mover in kind.movers]
MOVING = [(k.name, m.name) for k in KINDS.values() for m in k.movers if not m.deforms]
SEARCH = 8  # px of these pictures, to every side of where the thing ought to be
PATCH = {"door": 9, "window": 14, "eyes": 12, "move": 60}  # px, half its side; others 26
LOOSE = {("animal", "slide"), ("animal", "head"), ("landscape", "tree")}
SEEDS = range(3)


def painted(one):
    return np.asarray(one.image(SIZE)).astype(np.float32)


def found_step(made, drag):
    """Where the patch around a handle is found afterwards, from where it was, in px."""
    before, after = painted(made.before), painted(made.after)
    counts = np.ones((SIZE, SIZE), bool)
    if made.name != "sun":  # that is no part of the foreground
        counts = np.asarray(made.before.foreground(SIZE)) > 250
    reach = PATCH.get(made.name, 26)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    (x, y), (to_x, to_y) = drag
    counts = counts & (np.maximum(abs(columns + 0.5 - x), abs(rows + 0.5 - y)) < reach)
    y_all, x_all = np.nonzero(counts)
    told = np.array([to_x - x, to_y - y]).round().astype(int)
    costs = {}
    for across in range(-SEARCH, SEARCH + 1):
        for down in range(-SEARCH, SEARCH + 1):
            there_x, there_y = x_all + told[0] + across, y_all + told[1] + down
            inside = (np.minimum(there_x, there_y) >= 0) & (np.maximum(there_x, there_y) < SIZE)
            seen = after[there_y[inside], there_x[inside]]
            error = (seen - before[y_all[inside], x_all[inside]]) ** 2
            costs[across, down] = error.mean()
    return told + min(costs, key=costs.get)


@pytest.mark.parametrize(("kind", "name"), MOVING)
def test_what_is_at_the_handle_of_a_translation_is_found_at_its_target(kind, name):
    for seed in SEEDS:
        made = move(seed, kind, name=name)
        for drag in made.drags_px(SIZE):
            told = np.subtract(drag[1], drag[0])
            # Of these pictures; a quarter of a px of one of 64 px.
            assert abs(found_step(made, drag) - told).max() <= 1, (seed, drag)


def candidates(mark):
    """The points by which one would name a place of a mark."""
    corners = np.array(mark.points)
    sides = (corners + np.roll(corners, -1, 0)) / 2
    return np.concatenate([corners, sides, corners.mean(0)[None]])


def pairs_of_marks(made, *, backdrop):
    """Each mark before and after; marks of one side alone come at the start or end of a part."""
    before, after = (marks_of(one, backdrop=backdrop) for one in (made.before, made.after))
    pairs = list(zip(before, after, strict=False))
    if len(before) != len(after):
        pairs += zip(reversed(before), reversed(after), strict=False)
    return [pair for pair in pairs if len(pair[0].points) == len(pair[1].points)]


def misses(made, drag):
    """For every named place of every mark how far it is off the drag: at its ends, in its step."""
    for pair in pairs_of_marks(made, backdrop=True):
        off = [candidates(mark) - end for mark, end in zip(pair, drag, strict=True)]
        ends = np.maximum(*(np.hypot(*each.T) for each in off))
        yield from zip(ends, np.hypot(*(off[1] - off[0]).T), strict=True)


@pytest.mark.parametrize(("kind", "name"), MOVERS)
def test_one_drawn_point_is_at_the_handle_before_and_at_the_target_after(kind, name):
    allowed = 4 * FINE if (kind, name) in LOOSE else FINE
    for seed in SEEDS:
        made = move(seed, kind, name=name)
        for drag in made.drags:
            assert any(ends <= allowed and step <= FINE for ends, step in misses(made, drag)), (
                seed,
                drag,
            )


def steps_of_changed_marks(made):
    """For each mark that changed in the frame, how far its points went, (n 2)."""
    for before, after in pairs_of_marks(made, backdrop=made.kind == "landscape"):
        start, end = np.array(before.points), np.array(after.points)
        framed = ((start >= 0) & (start <= 1)).all(1)
        steps = (end - start)[framed]
        if len(steps) and abs(steps).max() > 1e-9:
            yield steps


@pytest.mark.parametrize(("kind", "name"), MOVERS)
def test_a_move_is_a_translation_just_if_all_that_changes_goes_by_the_drag(kind, name):
    for seed in SEEDS:
        made = move(seed, kind, name=name)
        told = np.subtract(made.drags[0][1], made.drags[0][0])
        carried = [
            bool(np.allclose(steps, told, atol=1e-6)) for steps in steps_of_changed_marks(made)
        ]
        assert carried
        assert all(carried) is not made.deforms, (seed, carried)
