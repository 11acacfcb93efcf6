"""Whole drags on a diffusion model in closed form: counts of updates and where the blob ends.

Expected figures are the project's own, measured once with the template itself as the image and
points rounded to whole units. A drag is accepted if it needs that many updates within 20 % and
if 35 denoising steps then lead to the target's template, with a mean error per cell below .1.
"""

from dataclasses import dataclass, replace

import pytest
import torch

from featurekit.core.types import Stop
from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.steps import ddim_step
from featurekit.testing import (
    MixtureDenoiser,
    blob_templates,
    line_centres,
    square_centres,
)
from featurekit_drag.engine.latent_optimisation import drag_latent
from featurekit_drag.engine.outside.choice import LatentMask
from featurekit_drag.engine.parts import Readout
from featurekit_drag.engine.settings import Rule
from featurekit_drag.engine.supervision.motion_supervision import patches

NOISE = NoiseTable.scaled_linear()
SCHEDULE = Schedule.ddim(NOISE, steps=50)
LEVEL = 35
T = SCHEDULE.timestep(LEVEL)
SPREAD = 0.05

DEFAULT = Rule()
FAST = Rule(learning_rate=0.05)
ANCHORED = Rule(
    patch_radius=4, track_radius=12, step=4.0, learning_rate=0.02, supervision="anchored"
)


@dataclass(frozen=True)
class World:
    """A family of templates, by what tells them apart."""

    denoiser: MixtureDenoiser
    labels: torch.Tensor  # (k n): centre of a blob, or its scale

    def index(self, label):
        return int((self.labels - torch.tensor(label).double()).abs().sum(1).argmin())

    def latent(self, label, *, seed=None):
        """Level 35 of the template itself, or of a draw around it."""
        index = self.index(label)
        x0 = self.denoiser.templates[index : index + 1]
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            x0 = x0 + SPREAD * torch.randn(x0.shape, generator=generator, dtype=torch.float64)
        path = invert(self.denoiser, x0, SCHEDULE, until=LEVEL, keep_residuals=False)
        return path.at(LEVEL)

    def glimpse(self, z):
        return Readout(self.denoiser.denoised(z, T), None)

    def read_all(self, z):
        next_latent = ddim_step(
            z,
            self.denoiser(z, T),
            alpha_bar_from=SCHEDULE.alpha_bars[LEVEL],
            alpha_bar_to=SCHEDULE.alpha_bars[LEVEL - 1],
        )
        return Readout(self.denoiser.denoised(z, T), next_latent)

    def answer(self, z):
        """Label that denoising leads to, and the rms error of its template per cell."""
        x0 = sample(self.denoiser, z, SCHEDULE, start=LEVEL)
        index = int(self.denoiser.responsibilities(x0, 1).argmax())
        error = (x0 - self.denoiser.templates[index]).square().sum(dim=1).mean().sqrt()
        return self.labels[index].tolist(), float(error)


@pytest.fixture(scope="module")
def line():
    centres = line_centres()
    return World(MixtureDenoiser(blob_templates(centres), SPREAD, NOISE), centres)


@pytest.fixture(scope="module")
def square():
    centres = square_centres()
    return World(MixtureDenoiser(blob_templates(centres), SPREAD, NOISE), centres)


def units(*cells):
    """Whole units nearest to cells, as the published code rounds its points."""
    return (4 * torch.tensor(cells, dtype=torch.float64) + 1.5).round()


def drag(world, start, target, rule, *, seed=None):
    points = units(start), units(target)
    return drag_latent(world.glimpse, world.latent(start, seed=seed), points, rule=rule)


def accept(world, dragged, target, figure):
    label, error = world.answer(dragged.latent)
    assert label == list(target)
    assert error < 0.1
    assert dragged.stop is Stop.REACHED
    assert abs(len(dragged.trace) - figure) <= 0.2 * figure


LINE_FIGURES = [
    (DEFAULT, {4: 7, 8: 17, 16: 32, 32: 49}),
    (FAST, {4: 2, 8: 4, 16: 9, 32: 18}),
    (ANCHORED, {4: 4, 8: 8, 16: 17, 32: 30}),
]
SQUARE_FIGURES = [
    (DEFAULT, {(16, 16): 41, (18, 14): 45, (20, 20): 74}),
    (FAST, {(16, 16): 13, (18, 14): 15, (20, 20): 33}),
]


@pytest.mark.parametrize(
    ("rule", "length", "figure"),
    [(rule, length, n) for rule, row in LINE_FIGURES for length, n in row.items()],
)
def test_along_a_line_the_blob_arrives_in_the_measured_number_of_updates(
    line, rule, length, figure
):
    target = (12 + length / 4, 16)
    accept(line, drag(line, (12, 16), target, rule), target, figure)


@pytest.mark.parametrize(
    ("rule", "target", "figure"),
    [(rule, target, n) for rule, row in SQUARE_FIGURES for target, n in row.items()],
)
def test_in_the_plane_the_blob_arrives_in_the_measured_number_of_updates(
    square, rule, target, figure
):
    accept(square, drag(square, (12, 12), target, rule), target, figure)


@pytest.mark.parametrize(("length", "figure"), [(4, 6), (8, 16), (16, 32), (32, 50)])
def test_a_noisy_draw_along_a_line_gives_the_independent_figures(line, length, figure):
    target = (12 + length / 4, 16)
    accept(line, drag(line, (12, 16), target, DEFAULT, seed=0), target, figure)


@pytest.mark.parametrize(("target", "figure"), [((16, 16), 44), ((18, 14), 42), ((20, 20), 78)])
def test_a_noisy_draw_in_the_plane_gives_the_independent_figures(square, target, figure):
    accept(square, drag(square, (12, 12), target, DEFAULT, seed=0), target, figure)


@pytest.mark.parametrize("seed", range(1, 9))
def test_whatever_the_draw_the_blob_ends_within_a_cell_of_its_target(line, seed):
    # the loop stops within two units, half a cell, so a draw may decide for the neighbour
    dragged = drag(line, (12, 16), (16, 16), DEFAULT, seed=seed)
    (x, y), error = line.answer(dragged.latent)
    assert abs(x - 16) <= 1
    assert y == 16
    assert error < 0.1


def test_forty_updates_leave_the_longest_drag_halfway_and_eighty_arrive(square):
    short = drag(square, (12, 12), (20, 20), replace(DEFAULT, updates=40))
    assert short.stop is Stop.MAX_UPDATES
    assert len(short.trace) == 40
    label, _ = square.answer(short.latent)
    assert label == [16, 16]
    missing_px = (torch.tensor([20.0, 20.0]) - torch.tensor(label)).norm() * 8
    assert float(missing_px) == pytest.approx(45.3, abs=0.05)
    label, _ = square.answer(drag(square, (12, 12), (20, 20), DEFAULT).latent)
    assert label == [20, 20]


def box(rows, columns):
    editable = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    editable[..., slice(*rows), slice(*columns)] = 1
    return editable


def test_pricing_every_cell_stalls_the_drag_and_no_mask_lets_it_arrive(line):
    z, points = line.latent((12, 16)), (units((12, 16)), units((16, 16)))
    stalled = drag_latent(
        line.read_all, z, points, rule=DEFAULT, mask=LatentMask(box((0, 0), (0, 0)))
    )
    assert stalled.stop is Stop.MAX_UPDATES
    label, _ = line.answer(stalled.latent)
    assert abs(label[0] - 12) <= 1
    assert (stalled.handle_path[-1] - points[0]).norm() * 2 <= 8  # a unit is 2 px, a cell 8
    free = drag_latent(line.read_all, z, points, rule=DEFAULT)
    assert line.answer(free.latent)[0] == [16, 16]


@pytest.fixture(scope="module")
def priced(square):
    """Drags with everything but a box priced: (label, updates, largest change outside)."""
    editable = box((6, 26), (6, 26))
    z, points = square.latent((12, 12)), (units((12, 12)), units((16, 16)))

    def run(weight, *, outside="penalty"):
        rule = replace(DEFAULT, mask_weight=weight)
        dragged = drag_latent(
            square.read_all, z, points, rule=rule, mask=LatentMask(editable, outside)
        )
        change = (dragged.latent - z).abs() * (1 - editable)
        return square.answer(dragged.latent)[0], len(dragged.trace), float(change.max())

    return {weight: run(weight) for weight in (0.0, 0.1, 1.0, 10.0)} | {
        "hard": run(0.1, outside="hard")
    }


def test_the_price_keeps_the_outside_still_and_lets_the_handle_arrive(priced):
    assert all(label == [16, 16] for label, _, _ in priced.values())
    assert priced[0.0][2] == pytest.approx(0.487, rel=0.2)
    assert priced[0.1][2] == pytest.approx(0.0068, rel=0.2)


def test_the_size_of_the_price_hardly_matters(priced):
    # Adam divides by the gradient's own size, so only the balance within a cell counts
    updates = [priced[weight][1] for weight in (0.1, 1.0, 10.0)]
    assert max(updates) <= 1.1 * min(updates)
    changes = [priced[weight][2] for weight in (0.1, 1.0, 10.0)]
    assert max(changes) < 0.02 * priced[0.0][2]


def test_freezing_leaves_the_outside_exactly_as_it_was(priced):
    assert priced["hard"][2] == 0


@pytest.fixture(scope="module")
def stretches():
    """Blobs of scale 2 to 8 along x, around one centre."""
    scales = torch.arange(2, 8.1, 0.25, dtype=torch.float64)[:, None]
    centre = torch.tensor([[16.0, 16.0]])
    templates = [blob_templates(centre, scale=(float(s) / 3, 1.0)) for s in scales]
    return World(MixtureDenoiser(torch.cat(templates), SPREAD, NOISE), scales)


def stretch(world, rule):
    points = units((13, 16), (19, 16)), units((11, 16), (21, 16))
    return drag_latent(world.glimpse, world.latent((3.0,)), points, rule=rule)


def test_two_opposed_handles_stretch_the_blob_to_the_scale_asked_for(stretches):
    dragged = stretch(stretches, DEFAULT)
    (scale,), _ = stretches.answer(dragged.latent)
    assert scale == pytest.approx(5.0, abs=0.25)
    assert dragged.stop is Stop.REACHED
    assert abs(len(dragged.trace) - 12) <= 0.2 * 12


def test_a_large_learning_rate_overshoots_the_scale(stretches):
    (scale,), _ = stretches.answer(stretch(stretches, FAST).latent)
    assert scale > 5.25


def test_the_tracker_sees_what_the_template_says_at_the_end(line):
    dragged = drag(line, (12, 16), (16, 16), DEFAULT)
    field = line.glimpse(dragged.latent).field
    before = line.glimpse(line.latent((12, 16))).field
    template = patches(before, units((12, 16)), radius=0)
    there = patches(field, dragged.handle_path[-1], radius=0)
    here = patches(field, units((12, 16)), radius=0)
    assert (there - template).abs().sum() < 0.2 * (here - template).abs().sum()
