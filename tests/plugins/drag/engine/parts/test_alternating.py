"""Drag and denoise in turn: against a plain rewrite, and where the updates and trackings fall."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it

from featurekit.backbones import load
from featurekit.backbones.lora import LoraRecipe
from featurekit.core.types import Stop, silent
from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.steps import ddim_step
from featurekit.diffusion.trajectory import Trajectory
from featurekit.taps.attention_sharing import self_attention_paths, share_attention
from featurekit.taps.capture import capture
from featurekit.testing import MixtureDenoiser, blob_templates, square_centres
from featurekit_drag.engine.drag import Drag
from featurekit_drag.engine.motions import motion_of, pace_of
from featurekit_drag.engine.outside.everywhere import Everywhere
from featurekit_drag.engine.parts import Course, Drags, Model, Readout
from featurekit_drag.engine.paths.unmoved import Redenoised, Stored
from featurekit_drag.engine.points import read_points
from featurekit_drag.engine.request import Request
from featurekit_drag.engine.schedules.alternating import Alternating
from featurekit_drag.engine.settings import DragSettings, Rule
from featurekit_drag.engine.variables.latent import LatentVariable

RULE = Rule(
    supervision="anchored",
    patch_radius=4,
    track_radius=12,
    step=4.0,
    learning_rate=0.02,
    reduction="gooddrag",
    updates=30,
    updates_per_tracking=3,
    patience=5,
)
GOODDRAG = DragSettings(rule=RULE, schedule="alternating", levels=7, strength=0.75)
NOISE = NoiseTable.scaled_linear()
SCHEDULE = Schedule.ddim(NOISE, steps=50)


def test_the_published_run_inverts_38_of_50_steps():
    assert SCHEDULE.level_for(GOODDRAG.strength) == 38
    assert SCHEDULE.timestep(38) == 741
    assert GOODDRAG.most_updates == 210


# against a rewrite with whole maps and plain loops


def plainly(backbone, predict, path, drag, request):  # noqa: C901  plain on purpose
    """Two levels of two trackings of three updates; latent, the picture's own, losses, handles."""
    schedule, top, tap = drag.schedule, drag.level, drag.settings.tap
    side = path.at(0).shape[-1] * 2  # this backbone's tap has the stride of its latent
    unit = backbone.taps[tap].stride / 4
    handles, targets = (
        [(xy / unit).round() for xy in points]
        for points in (request.points.handles, request.points.targets)
    )
    firsts = list(handles)
    editable = F.interpolate(request.mask, scale_factor=1 / backbone.stride, mode="nearest")

    def look(z, level):
        with capture(backbone.unet, {"field": backbone.taps[tap].path}) as seen:
            eps = predict(z, schedule.timestep(level))
        fine = F.interpolate(seen["field"], scale_factor=4, mode="bilinear", align_corners=False)
        below = ddim_step(
            z,
            eps,
            alpha_bar_from=schedule.alpha_bars[level],
            alpha_bar_to=schedule.alpha_bars[level - 1],
        )
        return fine, below

    def patch(fine, x, y, radius):
        grid = torch.arange(-radius, radius + 1, dtype=fine.dtype)
        ys, xs = torch.meshgrid(y + grid, x + grid, indexing="ij")
        size = fine.shape[-1]
        where = torch.stack([(2 * xs + 1) / size - 1, (2 * ys + 1) / size - 1], -1)[None]
        return F.grid_sample(fine, where, padding_mode="border", align_corners=False)

    own = {top: path.at(top)}
    anchors = {}
    with torch.no_grad():
        for level in (top, top - 1):
            anchors[level], own[level - 1] = look(own[level], level)
    z, losses = own[top].clone(), []
    for level in (top, top - 1):
        z = z.detach().requires_grad_()
        adam = torch.optim.Adam([z], lr=0.02)
        for _ in range(2):
            for _ in range(3):
                fine, below = look(z, level)
                loss = 0
                for first, handle, target in zip(firsts, handles, targets, strict=True):
                    gap = target - handle
                    if gap.norm() < 2:
                        continue
                    x, y = handle + gap / gap.norm() * min(4.0, float(gap.norm()))
                    there = patch(fine, float(x), float(y), 4)
                    here = patch(anchors[level], float(first[0]), float(first[1]), 4)
                    loss = loss + 8**2 * (there - here).abs().mean()
                loss = loss + 0.1 * ((below - own[level - 1]).abs() * (1 - editable)).sum()
                (z.grad,) = torch.autograd.grad(loss, z)
                adam.step()
                losses.append(float(loss.detach()))
            fine = fine.detach()  # outdated by the last update
            found = []
            for first, handle in zip(firsts, handles, strict=True):
                template = anchors[level][0, :, int(first[1]), int(first[0])]
                low = (handle - 12).clamp_min(0).long()
                high = (handle + 12).clamp_max(4 * (side // 2) - 1).long()
                part = fine[0, :, low[1] : high[1] + 1, low[0] : high[0] + 1]
                apart = (part - template[:, None, None]).abs().sum(0)
                best = int(apart.argmin())
                found.append(
                    low.float() + torch.tensor([best % apart.shape[1], best // apart.shape[1]])
                )
            handles = found
        with torch.no_grad():
            z = look(z, level)[1]
    return z, own[top - 2], losses, handles


@pytest.fixture(scope="module")
def exact():
    return load("random", device="cpu", dtype=torch.float64)


def request_for(side):
    points = read_points([[12, 14, 20, 15], [24, 22, 17, 20]], height=side, width=side)
    picture = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, side, side, dtype=torch.float64)
    mask[..., 8:28, 4:28] = 1
    return Request(picture.double() * 1.8 - 0.9, points, mask)


def test_two_levels_are_those_of_a_plain_rewrite_of_the_method(exact):
    rule = replace(RULE, updates=6, patience=0)
    settings = replace(GOODDRAG, rule=rule, steps=8, levels=2)
    request, drag = request_for(32), Drag(exact, settings, LoraRecipe(steps=0))
    edit = drag(request)
    predict = exact.predictor(exact.embed(""))
    with torch.no_grad():
        path = invert(predict, exact.encode(request.image), drag.schedule, until=drag.level)
    z, own, losses, handles = plainly(exact, predict, path, drag, request)
    assert edit.dragged.level == drag.level - 2
    assert edit.dragged.trace == pytest.approx(losses, rel=1e-5)  # features are read in float32
    torch.testing.assert_close(edit.dragged.handle_path[-1].float(), torch.stack(handles).float())
    assert (edit.dragged.latent - z).abs().max() < 1e-5
    assert (edit.dragged.latent - path.at(drag.level - 2)).abs().max() > 0.05
    paths = self_attention_paths(exact.unet, settings.attention)
    with torch.no_grad(), share_attention(exact.unet, paths):
        start = drag.level - 2
        rest = sample(predict, torch.cat([own, edit.dragged.latent]), drag.schedule, start=start)
        expected = exact.decode(rest)[1:].clamp(-1, 1)
    assert (edit.image - expected).abs().max() < 1e-9


# the order of things, by scripted features


class Script:
    """Says where the features have moved to at each forward, and notes what it was asked."""

    def __init__(self, *shifts):
        self.shifts, self.forwards, self.steps = iter(shifts), 0, []

    def read(self, z):
        if not z.requires_grad:  # of the unmoved latent
            moved = 0.0
        else:
            moved, self.forwards = next(self.shifts), self.forwards + 1
        axis = 4 * torch.arange(12, dtype=z.dtype) + 1.5
        x, y = (axis - moved).expand(12, 12), axis.expand(12, 12).T
        return Readout(torch.stack([x, y])[None] + 0 * z.sum(), None)

    def step(self, level, z):
        self.steps.append((level, float(z.detach().flatten()[0])))
        return z + 100

    def drag(self, rule, levels, *, keep=False, progress=silent):
        model = Model(lambda _, z: LatentVariable(z, self.read, None), self.step)
        path = sampled_path()
        course = Course(
            model,
            5,
            Redenoised(path, lambda level, z: z + level, 5),
            Drags(torch.tensor([[8.0, 8.0]]).double(), torch.tensor([[28.0, 8.0]]).double()),
            keep=keep,
        )
        schedule = Alternating(motion_of(rule), Everywhere, pace_of(rule, is_late=True), levels)
        return schedule(course, progress=progress)


def sampled_path():
    schedule = Schedule.ddim(NOISE, steps=6)
    return Trajectory(tuple(torch.zeros(1, 2, 2, 2).double() for _ in range(6)), schedule)


def test_handles_are_tracked_after_three_updates_in_the_features_before_the_last_of_them():
    script = Script(0, 0, 2, 9, 9, 5, *[5] * 50)
    rule = replace(RULE, updates=6, track_radius=8, patience=0)
    dragged = script.drag(rule, 1)
    # tracked in the third and sixth forward's features; 9 was seen by nobody
    assert [float(h[0, 0]) for h in dragged.handle_path] == [8, 8, 8, 10, 10, 10, 13]
    assert len(dragged.trace) == script.forwards == 6


def test_every_level_gets_its_updates_and_one_step():
    script, told = Script(*[0] * 100), []
    rule = replace(RULE, updates=6, patience=0)
    dragged = script.drag(rule, 3, progress=lambda done, total: told.append((done, total)))
    assert dragged.stop is Stop.MAX_UPDATES
    assert len(dragged.trace) == 18
    assert [level for level, _ in script.steps] == [5, 4, 3]
    assert dragged.level == 2
    assert told == [(k, 18) for k in range(1, 19)]
    assert dragged.stations == ()
    assert len(Script(*[0] * 100).drag(rule, 3, keep=True).stations) == 18


def test_handles_that_do_not_move_end_the_drag_and_the_steps_go_on():
    script = Script(*[0] * 100)
    dragged = script.drag(replace(RULE, updates=30, patience=5), 3)
    assert dragged.stop is Stop.STALLED
    assert len(dragged.trace) == 15  # five trackings
    assert [level for level, _ in script.steps] == [5, 4, 3]


def test_an_arrival_ends_the_drag_without_another_forward():
    script = Script(0, 0, 8, 0, 0, 19, *[0] * 50)
    dragged = script.drag(replace(RULE, updates=30), 2)
    assert dragged.stop is Stop.REACHED
    assert script.forwards == len(dragged.trace) == 6
    assert float(dragged.handle_path[-1][0, 0]) == 27


def test_what_the_stored_path_misses_is_carried_to_the_moved_latent():
    path = sampled_path()
    own = Stored(path, lambda level, z: z + level)
    assert torch.equal(own.missed(4), torch.full((1, 2, 2, 2), -4.0).double())
    again = Redenoised(path, lambda level, z: z + level, 5)
    assert float(again.at(3).max()) == 9
    assert not again.missed(4).any()


# the analytic model


@pytest.mark.parametrize("target", [(16, 16), (18, 14)])
def test_blobs_of_the_analytic_model_arrive_at_their_targets(target):
    centres = square_centres()
    denoiser = MixtureDenoiser(blob_templates(centres), 0.05, NOISE)
    start = int((centres - torch.tensor([12.0, 12.0])).norm(dim=1).argmin())
    path = invert(denoiser, denoiser.templates[start : start + 1], SCHEDULE, until=38)

    def step(level, z):
        return ddim_step(
            z,
            denoiser(z, SCHEDULE.timestep(level)),
            alpha_bar_from=SCHEDULE.alpha_bars[level],
            alpha_bar_to=SCHEDULE.alpha_bars[level - 1],
        )

    def variable(level, z):
        reader = lambda z: Readout(denoiser.denoised(z, SCHEDULE.timestep(level)), None)  # noqa: E731
        return LatentVariable(z, reader, None)

    units = [(4 * torch.tensor([xy]).double() + 1.5).round() for xy in ((12, 12), target)]
    course = Course(Model(variable, step), 38, Redenoised(path, step, 38), Drags(*units))
    schedule = Alternating(motion_of(RULE), Everywhere, pace_of(RULE, is_late=True), 7)
    dragged = schedule(course, progress=silent)
    clean = sample(denoiser, dragged.latent, SCHEDULE, start=31)
    found = int(denoiser.responsibilities(clean, 1).argmax())
    assert dragged.stop is Stop.REACHED
    assert centres[found].tolist() == list(target)
    assert (clean - denoiser.templates[found]).square().sum(1).mean().sqrt() < 0.1
