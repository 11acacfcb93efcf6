"""SDE-Drag's pieces: noise that leads back, squares that are carried, an outside that stays."""

import pytest
import torch

from featurekit.core.types import Stop, silent
from featurekit.diffusion.noise_schedule import NoiseTable, Schedule
from featurekit.diffusion.sample import sample
from featurekit.diffusion.trajectory import Trajectory
from featurekit.testing import MixtureDenoiser, blob_templates, line_centres
from featurekit_drag.engine.parts import Course, Drags, Model
from featurekit_drag.engine.paths.unmoved import Stored
from featurekit_drag.engine.schedules.sub_drags import SubDragged, _overlap, noised_path
from featurekit_drag.engine.settings import SubDrags

SCHEDULE = Schedule.ddim(NoiseTable.scaled_linear(), steps=50)
CENTRES = line_centres()
DENOISER = MixtureDenoiser(blob_templates(CENTRES), 0.05, NoiseTable.scaled_linear())


def at(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_the_stored_noise_leads_back_exactly_and_has_the_size_of_its_levels():
    clean = DENOISER.templates[6:7]
    path = noised_path(
        DENOISER, clean, SCHEDULE, until=30, generator=torch.Generator().manual_seed(0)
    )
    back = sample(DENOISER, path.at(30), SCHEDULE, start=30, trajectory=path)
    assert torch.equal(back, clean)
    noise = path.at(30) - (SCHEDULE.alpha_bars[30] / SCHEDULE.alpha_bars[0]).sqrt() * clean
    expected = (1 - SCHEDULE.alpha_bars[30] / SCHEDULE.alpha_bars[0]).sqrt()
    assert float(noise.std()) == pytest.approx(float(expected), rel=0.03)


def dragged(numbers, *, mask=None, target=(18, 16), keep=False, progress=silent):
    clean = DENOISER.templates[6:7]
    drags = Drags(at([12, 16]), at(list(target)))
    schedule = SubDragged(
        DENOISER, SCHEDULE, drags, numbers, mask, torch.Generator().manual_seed(0)
    )
    stored = Stored(Trajectory((clean,), SCHEDULE), lambda level, z: z)
    course = Course(Model(None, None), 30, stored, drags, keep=keep)
    return clean, schedule(course, progress=progress)


def test_the_blob_of_the_analytic_model_is_carried_to_its_target():
    told = []
    _, found = dragged(
        SubDrags(radius=6), keep=True, progress=lambda done, total: told.append((done, total))
    )
    assert found.stop is Stop.DONE
    assert told == [(1, 3), (2, 3), (3, 3)]  # six cells, two at a time
    assert [float(handles[0, 0]) for handles in found.handle_path] == [14, 16, 18]
    assert (found.level, len(found.stations), found.trace) == (0, 3, ())
    best = int(DENOISER.responsibilities(found.latent, 1).argmax())
    assert CENTRES[best].tolist() == [18, 16]


def test_outside_the_mask_the_latent_is_bit_equal():
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:26, 4:28] = 1
    clean, found = dragged(SubDrags(radius=5), mask=mask, target=(15, 18))
    away = mask[0, 0] == 0
    assert torch.equal(found.latent[..., away], clean[..., away])
    assert not torch.equal(found.latent, clean)


@pytest.mark.parametrize("start", [(0, 0), (15, 3), (31, 31)])
@pytest.mark.parametrize("end", [(31, 0), (2, 30)])
def test_squares_at_borders_lose_the_same_part_on_both_sides(start, end):
    source, target = _overlap(list(start), list(end), 5, (32, 32))
    marked = torch.arange(1024).reshape(1, 1, 32, 32)
    assert marked[source].shape == marked[target].shape
    way = (end[1] - start[1]) * 32 + end[0] - start[0]
    assert (marked[target] - marked[source] == way).all()


def test_a_square_is_amplified_where_it_lands_and_forgotten_where_it_was():
    mask = None
    drags = Drags(at([8, 16]), at([20, 16]))
    numbers = SubDrags(radius=3, amplify=1.5, keep=0.0)
    part = SubDragged(DENOISER, SCHEDULE, drags, numbers, mask, torch.Generator().manual_seed(0))
    latent = torch.ones(1, 4, 32, 32, dtype=torch.float64)
    moved = part._carried(latent, 0.0, 1.0)
    assert (moved[..., 13:19, 17:23] == 1.5).all()
    was = moved[..., 13:19, 5:11]
    assert abs(float(was.mean())) < 0.4
    assert float(was.std()) == pytest.approx(1, abs=0.3)
    assert (moved[..., :13, :] == 1).all()
