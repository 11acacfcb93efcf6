"""The loop: when it stops, what the mask costs, who is tracked, and what it leaves untouched."""

from dataclasses import replace

import pytest
import torch

from featurekit.core.errors import ConfigError
from featurekit.core.types import Stop
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.steps import ddim_step
from featurekit_drag.engine.latent_optimisation import drag_latent
from featurekit_drag.engine.outside.choice import LatentMask
from featurekit_drag.engine.parts import Readout
from featurekit_drag.engine.settings import Rule
from featurekit_drag.engine.supervision.motion_supervision import patches

CELLS = 8
SCHEDULE = Schedule.ddim(NoiseTable.scaled_linear(), steps=50)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def latent(seed=0):
    return normal(1, 4, CELLS, CELLS, seed=seed)


def glimpse(z):
    """The latent is its own feature map."""
    return Readout(z, None)


def read_without_noise(z):
    """Features that every element of the latent moves, and the step from 681 to 661 for eps 0."""
    ramp = torch.arange(CELLS, dtype=z.dtype).expand(CELLS, CELLS)
    weights = 1 + torch.arange(z.numel(), dtype=z.dtype).reshape(z.shape) / z.numel()
    next_latent = ddim_step(
        z,
        torch.zeros_like(z),
        alpha_bar_from=SCHEDULE.alpha_bars[35],
        alpha_bar_to=SCHEDULE.alpha_bars[34],
    )
    return Readout((1 + (z * weights).sum() ** 2) * ramp.expand(1, 1, CELLS, CELLS), next_latent)


def scripted(*shifts):
    """Features that say where they are, seen moved by ``shifts[k]`` units at read k."""
    forwards = iter(shifts)

    def read(z):
        moved = torch.tensor(next(forwards), dtype=z.dtype)
        axis = 4 * torch.arange(CELLS, dtype=z.dtype) + 1.5
        x = (axis - moved[0]).expand(CELLS, CELLS)
        y = (axis - moved[1]).expand(CELLS, CELLS).T
        return Readout(torch.stack([x, y])[None] + 0 * z.sum(), None)

    return read


def watched(read, record):
    """The same read, keeping each latent it saw and the gradient that came back to it."""

    def wrapped(z):
        seen = z * 1.0
        if seen.requires_grad:
            gradient = {"z": z.detach().clone()}
            record.append(gradient)
            seen.register_hook(lambda g: gradient.update(gradient=g.clone()))
        return read(seen)

    return wrapped


FAR = at([8, 8], [20, 12]), at([20, 8], [10, 25])
NEAR = at([8, 8], [20, 12]), at([9.9, 8], [20, 10.5])


def half():
    editable = torch.zeros(1, 1, CELLS, CELLS, dtype=torch.float64)
    editable[..., :5] = 1
    return editable


def test_with_every_handle_near_its_target_no_update_is_made():
    z = latent()
    dragged = drag_latent(glimpse, z, NEAR, rule=Rule())
    assert dragged.stop is Stop.REACHED
    assert dragged.trace == ()
    assert torch.equal(dragged.latent, z)
    assert [way.tolist() for way in dragged.handle_path] == [NEAR[0].tolist()]


def test_one_handle_that_is_far_keeps_the_loop_going():
    points = torch.cat([NEAR[0], FAR[0][:1] + 4]), torch.cat([NEAR[1], FAR[1][:1]])
    dragged = drag_latent(glimpse, latent(), points, rule=Rule(updates=3))
    assert dragged.stop is Stop.MAX_UPDATES
    assert len(dragged.trace) == 3


def test_the_look_that_finds_every_handle_at_its_target_makes_no_update():
    handles, targets = at([8, 8], [12, 20]), at([14, 8], [18, 20])
    read = scripted((0, 0), (0, 0), (2, 0), (4.5, 0), (5, 0))  # the first is the unmoved latent
    z = latent()
    dragged = drag_latent(read, z, (handles, targets), rule=Rule())
    assert dragged.stop is Stop.REACHED
    assert len(dragged.trace) == 3
    assert [way[0, 0].item() for way in dragged.handle_path] == [8, 10, 12, 13]
    assert len(dragged.handle_path) == 4


@pytest.mark.parametrize("updates", [0, 1, 5])
def test_the_cap_counts_updates(updates):
    z = latent()
    dragged = drag_latent(glimpse, z, FAR, rule=Rule(updates=updates))
    assert len(dragged.trace) == updates
    assert torch.equal(dragged.latent, z) is (updates == 0)


def test_latent_handles_and_targets_are_not_changed():
    z, points = latent(), tuple(xy.clone() for xy in FAR)
    copy = z.clone()
    dragged = drag_latent(glimpse, z, points, rule=Rule(updates=4))
    assert torch.equal(z, copy)
    assert torch.equal(points[0], FAR[0])
    assert torch.equal(points[1], FAR[1])
    assert torch.equal(dragged.handle_path[0], FAR[0])
    assert not dragged.latent.requires_grad


def test_every_forward_has_handles_and_its_latent_is_another_one():
    record = []
    dragged = drag_latent(watched(glimpse, record), latent(), FAR, rule=Rule(updates=4))
    assert len(record) == len(dragged.handle_path) == 4
    assert not torch.equal(record[0]["z"], record[1]["z"])
    assert dragged.latents == ()  # nobody asked for them


def test_the_first_look_tracks_nothing():
    read = scripted((0, 0), (3, 3), (0, 0))
    dragged = drag_latent(read, latent(), FAR, rule=Rule(updates=2))
    assert torch.equal(dragged.handle_path[0], FAR[0])


def test_a_handle_within_the_stop_distance_is_tracked_at_every_look():
    handles, targets = at([8, 8], [16, 16]), at([24, 8], [16, 17])
    read = scripted((0, 0), (0, 0), (1, 0), (1, 2), (1, 4))
    dragged = drag_latent(read, latent(), (handles, targets), rule=Rule(updates=4))
    assert [way[1].tolist() for way in dragged.handle_path] == [
        [16, 16],
        [17, 16],
        [17, 18],
        [17, 20],
    ]


def test_a_handle_that_drifts_off_its_target_pulls_again():
    handles, targets = at([16, 16], [16, 16]), at([18.5, 16], [26, 16])
    read = scripted((0, 0), (0, 0), (1, 0), (-1, 0))  # the first target is near at read 1 alone
    dragged = drag_latent(read, latent(), (handles, targets), rule=Rule(updates=3))
    assert dragged.trace == pytest.approx([2 * 4.5, 4.5, 2 * 4.5])


def test_the_template_of_a_handle_stays_the_unmoved_feature():
    # the window ends at 11; a template renewed there would call the handle found
    read = scripted((0, 0), (0, 0), (4, 0), (4, 0), (4, 0))
    dragged = drag_latent(read, latent(), (at([8, 8]), at([28, 8])), rule=Rule(updates=4))
    assert [way[0, 0].item() for way in dragged.handle_path] == [8, 11, 12, 12]


def test_with_anchored_supervision_the_patch_ahead_is_asked_to_be_the_unmoved_one():
    z = latent()
    rule = Rule(updates=1, supervision="anchored", patch_radius=2)
    dragged = drag_latent(glimpse, z, FAR, rule=rule)
    same = drag_latent(glimpse, z, FAR, rule=replace(rule, supervision="current"))
    assert dragged.trace == pytest.approx(same.trace)  # nothing has moved yet
    record = []
    dragged = drag_latent(watched(glimpse, record), z, FAR, rule=replace(rule, updates=3))
    moved, handles = record[2]["z"], dragged.handle_path[2]
    ways = FAR[1] - handles
    ahead = patches(moved, handles + ways / ways.norm(dim=1, keepdim=True), radius=2)
    anchors = patches(z, FAR[0], radius=2)
    expected = 25 * (ahead - anchors).abs().mean(dim=(1, 2)).sum()
    assert dragged.trace[2] == pytest.approx(float(expected))


def mask_gradient(weight, hold):
    """Gradient of the second update and how far the latent has come by then."""
    record = []
    points = at([8, 8]), at([20, 8])
    z = latent()
    read = watched(read_without_noise, record)
    drag_latent(read, z, points, rule=Rule(updates=2, mask_weight=weight), mask=hold)
    return record[1]["gradient"], record[1]["z"] - z


def test_outside_the_mask_every_element_costs_its_sign_and_inside_nothing():
    with_price, change = mask_gradient(0.1, LatentMask(half()))
    without, same_change = mask_gradient(0.0, LatentMask(half()))
    assert torch.equal(change, same_change)
    assert (change != 0).all()
    term = with_price - without
    expected = 0.1 * 1.07192 * change.sign() * (1 - half())
    torch.testing.assert_close(term, expected, rtol=0, atol=2e-6)
    exact = 0.1 * (SCHEDULE.alpha_bars[34] / SCHEDULE.alpha_bars[35]).sqrt()
    torch.testing.assert_close(term, exact * change.sign() * (1 - half()), rtol=1e-6, atol=1e-9)
    assert (term[..., :5] == 0).all()


def test_without_a_mask_nothing_is_priced():
    free, change = mask_gradient(0.1, None)
    zero, same_change = mask_gradient(0.0, LatentMask(half()))
    assert torch.equal(change, same_change)
    assert torch.equal(free, zero)


def test_a_mask_that_is_one_everywhere_prices_nothing():
    everywhere = LatentMask(torch.ones_like(half()))
    assert torch.equal(mask_gradient(0.1, everywhere)[0], mask_gradient(0.1, None)[0])


def test_a_frozen_outside_is_bit_equal_at_every_forward_and_the_inside_moves():
    z = latent()
    rule = Rule(updates=6, learning_rate=0.1)
    record = []
    read = watched(read_without_noise, record)
    dragged = drag_latent(read, z, FAR, rule=rule, mask=LatentMask(half(), "hard"))
    assert len(record) == 6
    for frame in (*(forward["z"] for forward in record), dragged.latent):
        assert torch.equal(frame[..., 5:], z[..., 5:])
    assert (dragged.latent[..., :5] != z[..., :5]).all()


def test_features_that_are_not_finite_end_the_loop_with_the_last_good_latent():
    z = latent()

    def read(z_now):
        poison = 1.0 if torch.equal(z_now.detach(), z) else float("nan")
        return Readout(z_now * poison, None)

    dragged = drag_latent(read, z, FAR, rule=Rule())
    assert dragged.stop is Stop.DIVERGED
    assert torch.equal(dragged.latent, z)
    assert len(dragged.handle_path) == 1


def test_progress_is_told_after_every_update():
    told = []
    drag_latent(
        glimpse,
        latent(),
        FAR,
        rule=Rule(updates=3),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_price_needs_the_latent_one_step_on():
    with pytest.raises(ConfigError, match="this reader tells features alone"):
        drag_latent(glimpse, latent(), FAR, rule=Rule(), mask=LatentMask(half()))
