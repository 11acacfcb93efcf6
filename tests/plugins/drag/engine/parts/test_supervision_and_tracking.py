"""Dense fields, templates along the line, and trackers that only look forward."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from featurekit.core.types import Stop, silent
from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.testing import MixtureDenoiser, blob_templates, line_centres
from featurekit_drag.engine.latent_optimisation import drag_latent
from featurekit_drag.engine.motions import motion_of, pace_of
from featurekit_drag.engine.outside.everywhere import Everywhere
from featurekit_drag.engine.parts import Course, Drags, Model, Readout
from featurekit_drag.engine.paths.unmoved import Stored
from featurekit_drag.engine.schedules.one_level import OneLevel
from featurekit_drag.engine.settings import Rule
from featurekit_drag.engine.supervision.dense_field import dense_field
from featurekit_drag.engine.supervision.template import Template
from featurekit_drag.engine.tracking.directional import directional
from featurekit_drag.engine.tracking.nearest import nearest
from featurekit_drag.engine.variables.latent import LatentVariable

SCHEDULE = Schedule.ddim(NoiseTable.scaled_linear(), steps=50)


def at(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


NOWHERE = Drags(at([4, 4]), at([8, 8]))


def test_a_field_asks_every_moved_cell_for_what_came_and_no_other_one():
    before = normal(1, 3, 6, 8)
    displacement = torch.zeros(6, 8, 2).double()
    displacement[1:4, 3:6, 0] = 2 / 8
    displacement[2, 4] = float("nan")
    pull = dense_field(before, NOWHERE, Rule(), displacement=displacement)
    arrived = normal(1, 3, 6, 8, seed=1)
    arrived[..., 1:4, 3:6] = before[..., 1:4, 1:4]
    arrived[..., 2, 4] = 50.0  # a hole
    assert float(pull(arrived, NOWHERE.handles)) == pytest.approx(0, abs=1e-12)
    missing = pull(before, NOWHERE.handles)
    gap = (before[..., 1:4, 3:6] - before[..., 1:4, 1:4]).abs().mean(1)
    gap[0, 1, 1] = 0
    assert float(missing) == pytest.approx(float(gap.sum()))
    summed = dense_field(before, NOWHERE, Rule(reduction="paper"), displacement=displacement)
    assert float(summed(before, NOWHERE.handles)) == pytest.approx(3 * float(missing))


def test_a_finer_field_is_read_at_the_cells():
    before = normal(1, 2, 4, 4)
    displacement = torch.zeros(16, 16, 2).double()
    displacement[..., 1] = 1 / 4
    pull = dense_field(before, NOWHERE, Rule(), displacement=displacement)
    moved = torch.cat([before[:, :, :1], before[:, :, :3]], dim=2)
    assert float(pull(moved, NOWHERE.handles)) == pytest.approx(0, abs=1e-12)


def test_a_field_carries_the_blob_of_the_analytic_model():
    world = Line()
    displacement = torch.zeros(32, 32, 2).double()
    displacement[8:25, 8:25, 0] = 4 / 32
    rule = Rule(supervision="field", learning_rate=0.05, track_radius=12)
    schedule = OneLevel(motion_of(rule, displacement), Everywhere, pace_of(rule, is_late=False))
    model = Model(lambda _, z: LatentVariable(z, world.read, None), lambda _, z: z)
    course = Course(model, 35, Stored(world.path, model.step), Drags(*world.points((16, 16))))
    dragged = schedule(course, progress=silent)
    assert dragged.stop is Stop.REACHED
    assert world.answer(dragged.latent)[0] == [16, 16]


class Line:
    """Blobs along a line, one of them inverted."""

    def __init__(self):
        self.centres = line_centres()
        templates = blob_templates(self.centres)
        self.denoiser = MixtureDenoiser(templates, 0.05, NoiseTable.scaled_linear())
        self.path = invert(self.denoiser, templates[6:7], SCHEDULE, until=35)

    def read(self, z):
        return Readout(self.denoiser.denoised(z, SCHEDULE.timestep(35)), None)

    def points(self, target):
        return tuple((4 * at(list(xy)) + 1.5).round() for xy in ((12, 16), target))

    def answer(self, z):
        clean = sample(self.denoiser, z, SCHEDULE, start=35)
        found = int(self.denoiser.responsibilities(clean, 1).argmax())
        error = (clean - self.denoiser.templates[found]).square().sum(1).mean().sqrt()
        return self.centres[found].tolist(), float(error)


TEMPLATE = Rule(
    supervision="template",
    tracking="along_line",
    patch_radius=4,
    learning_rate=0.02,
    expected_loss=0.06,  # of a unit; it ends within two units and what the template lags
    updates=120,
)


@pytest.mark.parametrize("length", [8, 16, 32])
def test_a_template_leads_the_blob_of_the_analytic_model_to_within_a_cell(length):
    world, target = Line(), (12 + length / 4, 16)
    dragged = drag_latent(world.read, world.path.at(35), world.points(target), rule=TEMPLATE)
    assert dragged.stop is Stop.REACHED
    label, error = world.answer(dragged.latent)
    assert abs(label[0] - target[0]) <= 1
    assert label[0] > 12
    assert error < 0.1
    came = [float(handles[0, 0]) for handles in dragged.handle_path]
    assert max(b - a for a, b in pairwise(came)) <= TEMPLATE.farthest + 1e-9


def ramp(moved, cells=16):
    axis = torch.arange(cells).double()
    return torch.stack([(axis - moved / 4).expand(cells, cells), axis.expand(cells, cells).T])[None]


def test_a_template_that_has_arrived_goes_on_and_one_that_got_worse_goes_back():
    rule = replace(TEMPLATE, expected_loss=0.5, farthest=8.0)  # a unit costs an eighth
    points = Drags(at([20, 20]), at([44, 20]))
    template = Template(ramp(0), points, rule)
    first = template._points()[0, 0]
    assert float(first) == pytest.approx(20 + 4, abs=0.81)  # the place that costs .5 of ten
    still = template.follow(ramp(0), points.handles)
    assert float(still[0, 0]) == first  # fewer than five updates, and not there yet
    gone = template.follow(ramp(float(first) - 20), points.handles)
    assert float(gone[0, 0]) > first + 3
    for _ in range(5):  # worse than when the point was chosen
        back = template.follow(ramp(-8), points.handles)
    assert float(back[0, 0]) < float(gone[0, 0])
    assert not template.has_arrived(points.handles)


def test_a_template_takes_in_half_of_what_is_at_a_fifth_of_the_expected_loss():
    rule = replace(TEMPLATE, patch_radius=0, expected_loss=1.0, farthest=1e-3)
    template = Template(ramp(0), Drags(at([20, 20]), at([44, 20])), rule)
    template.came[:] = 0
    template.losses[:] = 0.2
    own = template.templates.clone()
    template._renew(ramp(8), 0)
    other = own - torch.tensor([2.0, 0.0]).double()  # two cells to the left of where it was
    torch.testing.assert_close(template.templates, (own + other) / 2)


@pytest.mark.parametrize("follower", [nearest, directional])
def test_both_trackers_find_what_went_towards_its_target(follower):
    field = normal(1, 8, 12, 12)
    rule = Rule(track_radius=8, revert_above=0.0)
    follow = follower(field, Drags(at([20, 20]), at([40, 20])), rule)
    moved = torch.roll(field, 2, dims=3)
    assert follow(moved, at([20, 20])).tolist() == [[28, 20]]


def test_a_directional_handle_does_not_follow_what_went_away_from_its_target():
    field = normal(1, 8, 12, 12)
    rule = Rule(track_radius=8, revert_above=0.0)
    drags = Drags(at([20, 20]), at([40, 20]))
    moved = torch.roll(field, -2, dims=3)
    assert nearest(field, drags, rule)(moved, drags.handles).tolist() == [[12, 20]]
    found = directional(field, drags, rule)(moved, drags.handles)
    assert float((drags.targets - found).norm()) <= 20
    sure = directional(field, drags, replace(rule, revert_above=0.3))
    assert torch.equal(sure(moved, drags.handles), drags.handles)
    assert sure(torch.roll(field, 1, dims=3), drags.handles).tolist() == [[24, 20]]


def test_a_directional_drag_arrives_on_the_analytic_model():
    world = Line()
    rule = Rule(tracking="directional", revert_above=0.0)
    dragged = drag_latent(world.read, world.path.at(35), world.points((16, 16)), rule=rule)
    assert dragged.stop is Stop.REACHED
    assert world.answer(dragged.latent)[0] == [16, 16]
    left = [float((world.points((16, 16))[1] - h).norm()) for h in dragged.handle_path]
    assert all(b <= a + 1e-9 for a, b in pairwise(left))
