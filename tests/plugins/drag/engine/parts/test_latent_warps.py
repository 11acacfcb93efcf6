"""Latent warps: fields, landing, holes, and a drag without any update."""

import pytest
import torch

from featurekit.diffusion.invert import invert
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.testing import MixtureDenoiser, blob_templates, square_centres
from featurekit_drag.engine.parts import Drags
from featurekit_drag.engine.warps.fields import FIELDS, nearest_handle, stretch
from featurekit_drag.engine.warps.holes import neighbours, noise
from featurekit_drag.engine.warps.latent_warp import carried

SCHEDULE = Schedule.ddim(NoiseTable.scaled_linear(), steps=50)


def at(*rows):
    return torch.tensor(rows, dtype=torch.float64)


OPPOSED = Drags(at([4, 8], [12, 8]), at([1, 8], [15, 8]))


def test_of_two_opposed_handles_each_side_makes_the_whole_move_of_its_own():
    cells = at(*([x, 8] for x in range(17)))
    moves = nearest_handle(cells, OPPOSED)
    assert moves[:8, 0].tolist() == [-3] * 8
    assert moves[9:, 0].tolist() == [3] * 8
    assert not moves[:, 1].any()


def test_a_mean_of_two_opposed_moves_is_nothing_on_the_midline():
    midline = at(*([8, y] for y in range(4, 13)), [0, 4], [16, 12])
    assert stretch(midline, OPPOSED)[:9].abs().max() < 1e-12


def test_a_stretch_is_whole_at_the_handle_and_nothing_on_the_circle():
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="ij")
    cells = torch.stack([columns, rows], -1).reshape(-1, 2).double()
    drags = Drags(at([4, 4]), at([6, 5]))
    moves = stretch(cells, drags).reshape(9, 9, 2)
    assert moves[4, 4].tolist() == [2, 1]
    radius = 4 * 2**0.5 + 0.5
    for steps in (1, 2, 4):  # along a row the rest of the way to the circle
        left = (radius - steps) / radius
        torch.testing.assert_close(moves[4, 4 + steps], left * at([2, 1])[0])
    assert moves[0, 0].norm() < 0.1 * 5**0.5  # half a cell from the circle


def test_cells_land_where_they_are_sent_and_the_first_one_wins():
    editable = torch.zeros(1, 1, 5, 8)
    editable[..., 1:4, 1:7] = 1
    found = carried(editable, Drags(at([2, 2]), at([4, 2])), nearest_handle)
    outside = editable[0, 0] == 0
    here = torch.arange(40).reshape(5, 8)
    assert torch.equal(found.sources[outside], here[outside])
    assert found.sources[2].tolist() == [16, -1, -1, 17, 18, 19, 20, 23]  # 21 and 22 would leave
    assert found.holes[1:4, 1:3].all()
    squeezed = carried(editable, Drags(at([2, 2]), at([4, 2])), lambda cells, _: 3 - cells)
    assert squeezed.sources[3, 3] == 9  # the first in row-major order
    shares = found.displacement
    assert shares[2, 3].tolist() == [2 / 8, 0]
    assert shares[outside].abs().max() == 0
    assert shares[2, 1].isnan().all()


@pytest.mark.parametrize("name", FIELDS)
def test_drags_that_cross_and_lie_on_the_border_land_inside(name):
    editable = torch.ones(1, 1, 9, 12)
    handles = at([0, 0], [11, 8], [-0.5, 8.4], [11.4, -0.5])
    found = carried(editable, Drags(handles, handles.flip(0)), FIELDS[name])
    latent = torch.arange(108.0).reshape(1, 1, 9, 12)
    assert torch.equal(found.of(latent)[0, 0].long()[~found.holes], found.sources[~found.holes])
    assert found.sources.max() < 108


def test_holes_become_noise_of_their_seed_and_nothing_else_changes():
    latent, holes = torch.zeros(1, 3, 6, 6), torch.zeros(6, 6, dtype=torch.bool)
    holes[2:4, 1:5] = True
    filled = [noise(latent, holes, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(filled[0], filled[1])
    assert not torch.equal(filled[0], filled[2])
    assert (filled[0][..., holes] != 0).all()
    assert not filled[0][..., ~holes].any()


def test_holes_are_filled_from_four_sides_by_nearness():
    latent = torch.zeros(1, 1, 5, 5)
    latent[0, 0, 2] = torch.tensor([1.0, 9, 9, 9, 7])
    latent[0, 0, 0, 1], latent[0, 0, 4, 1] = 3.0, 5.0
    holes = torch.zeros(5, 5, dtype=torch.bool)
    holes[2, 1:4] = True
    holes[[1, 3], 1] = True
    filled = neighbours(latent, holes, torch.Generator())
    expected = (1 / 1 + 7 / 3 + 3 / 2 + 5 / 2) / (1 + 1 / 3 + 1 / 2 + 1 / 2)
    assert float(filled[0, 0, 2, 1]) == pytest.approx(expected)
    assert torch.equal(filled[..., ~holes], latent[..., ~holes])
    nowhere = torch.ones(5, 5, dtype=torch.bool)
    assert torch.equal(neighbours(latent, nowhere, torch.Generator()), latent)


@pytest.mark.parametrize("way", [(4, 4), (0, 6), (6, 2)])
@pytest.mark.parametrize(("fill", "error"), [(None, 0.06), (noise, 0.25)])
def test_a_disc_that_is_moved_at_level_35_denoises_to_its_target_without_an_update(
    way, fill, error
):
    centres = square_centres()
    denoiser = MixtureDenoiser(blob_templates(centres), 0.05, NoiseTable.scaled_linear())
    start = at([12, 12])
    number = int((centres - start).norm(dim=1).argmin())
    path = invert(denoiser, denoiser.templates[number : number + 1], SCHEDULE, until=35)
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    disc = (x - 12) ** 2 + (y - 12) ** 2 <= 7**2
    landed = (x - 12 - way[0]) ** 2 + (y - 12 - way[1]) ** 2 <= 7**2
    target = start + at(list(way))
    found = carried((disc | landed)[None, None].double(), Drags(start, target), nearest_handle)
    moved = torch.where(landed, found.of(path.at(35)), path.at(35))
    if fill is not None:
        moved = fill(moved, disc & ~landed, torch.Generator().manual_seed(0))
    clean = sample(denoiser, moved, SCHEDULE, start=35)
    best = int(denoiser.responsibilities(clean, 1).argmax())
    assert centres[best].tolist() == target[0].tolist()
    assert (clean - denoiser.templates[best]).square().sum(1).mean().sqrt() < error
