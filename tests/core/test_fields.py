"""Feature arithmetic: reading between cells is what building the fine map would give."""

import pytest
import torch
from torch.nn import functional

from featurekit.core.errors import ConfigError, PointsError, ShapeError
from featurekit.core.fields import sample, sample_refined, window


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def uniform(n, low, high, seed=0):
    numbers = torch.rand(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return numbers * (high - low) + low


def every_cell(width, height):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack((x, y), -1).reshape(-1, 2).double()


def read_by_hand(field, xy):
    """Bilinear reading, one position at a time, straight from its definition."""
    height, width = field.shape[-2:]
    values = []
    for x, y in xy.tolist():
        x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
        value = torch.zeros(field.shape[:2], dtype=field.dtype)
        for row in range(height):
            for col in range(width):
                weight = max(0.0, 1 - abs(x - col)) * max(0.0, 1 - abs(y - row))
                value = value + weight * field[:, :, row, col] if weight else value
        values.append(value)
    return torch.stack(values, 1)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


# reading


def test_a_whole_coordinate_reads_the_cell_exactly():
    field = normal(2, 3, 5, 7)
    values = sample(field, every_cell(7, 5))
    assert torch.equal(values, field.flatten(2).mT)


def test_halfway_reads_the_mean_of_four():
    field = torch.tensor([[[[1.0, 2.0], [4.0, 9.0]]]])
    assert sample(field, torch.tensor([[0.5, 0.5]])).item() == 4.0


def test_x_is_the_column_and_y_the_row():
    field = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
    assert sample(field, torch.tensor([[2.0, 0.0], [0.0, 1.0]])).flatten().tolist() == [3.0, 4.0]


def test_reading_a_plane_gives_the_plane():
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    xy = uniform(50, 0, 5)
    values = sample((3 * x - 2 * y).double()[None, None], xy)
    close(values[0, :, 0], 3 * xy[:, 0] - 2 * xy[:, 1])


def test_reading_agrees_with_the_definition_inside_and_outside():
    field, xy = normal(2, 3, 5, 7), uniform(60, -3, 10)
    close(sample(field, xy), read_by_hand(field, xy))


@pytest.mark.parametrize(
    ("outside", "border"),
    [((-9.0, 2.0), (0.0, 2.0)), ((6.5, 99.0), (6.0, 4.0)), ((3.3, -1), (3.3, 0))],
)
def test_outside_means_the_border(outside, border):
    field = normal(1, 3, 5, 7)
    read = sample(field, torch.tensor([outside, border], dtype=torch.float64))
    assert torch.equal(read[:, 0], read[:, 1])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6), (6, 1)])
def test_a_field_of_one_row_or_column_can_be_read(height, width):
    field, xy = normal(1, 2, height, width), uniform(40, -2, 8)
    close(sample(field, xy), read_by_hand(field, xy))


def test_no_positions_give_no_values():
    empty = torch.zeros(0, 2, dtype=torch.float64)
    assert sample(normal(2, 3, 4, 4), empty).shape == (2, 0, 3)
    assert sample_refined(normal(2, 3, 4, 4), empty, factor=4).shape == (2, 0, 3)


# reading the refined field


def test_refined_reading_equals_upsampling_at_all_64_by_48_positions():
    field = normal(2, 5, 12, 16)
    fine = functional.interpolate(field, scale_factor=4, mode="bilinear", align_corners=False)
    values = sample_refined(field, every_cell(64, 48), factor=4)
    close(values, fine.flatten(2).mT)


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_refined_reading_equals_upsampling_between_positions_and_beyond_borders(factor):
    field = normal(2, 3, 5, 7)
    fine = functional.interpolate(field, scale_factor=factor, mode="bilinear", align_corners=False)
    xy = torch.cat([uniform(100, -3, 7 * factor + 3), every_cell(7 * factor + 1, 5) - 0.5])
    close(sample_refined(field, xy, factor=factor), read_by_hand(fine, xy))


def test_refined_reading_by_one_is_plain_reading():
    field, xy = normal(1, 3, 5, 7), uniform(50, -2, 9)
    close(sample_refined(field, xy, factor=1), sample(field, xy))


@pytest.mark.parametrize("step", [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)])
def test_windows_around_every_position_can_be_read(step):
    field = normal(1, 1, 3, 4)
    offsets = window(torch.tensor(step, dtype=torch.float64), 3)
    positions = (every_cell(16, 12)[:, None] + offsets).reshape(-1, 2)
    values = sample_refined(field, positions, factor=4)
    assert values.shape == (1, 16 * 12 * 49, 1)
    assert values.isfinite().all()


def test_far_away_is_still_the_border():
    field = normal(1, 2, 3, 4)
    far = torch.tensor([[1e30, -1e30]], dtype=torch.float64)
    close(sample_refined(field, far, factor=4)[:, 0], field[:, :, 0, 3])


READINGS = [sample, lambda field, xy: sample_refined(field, xy, factor=3)]
each_reading = pytest.mark.parametrize("read", READINGS, ids=["sample", "sample_refined"])


@each_reading
def test_gradients_of_field_and_positions_are_right(read):
    field = normal(2, 2, 3, 4).requires_grad_()
    # away from whole coordinates, where reading has a kink
    xy = (every_cell(3, 2) + uniform(6, 0.2, 0.8)).requires_grad_()
    assert torch.autograd.gradcheck(read, (field, xy))


@each_reading
def test_border_positions_pull_only_on_cells_of_the_border(read):
    field = normal(1, 2, 4, 4).requires_grad_()
    outside = torch.tensor([[-5.0, 1.0], [-5.0, 50.0]], dtype=torch.float64)
    read(field, outside).sum().backward()
    assert float(field.grad[..., 0].sum()) == pytest.approx(4)
    assert torch.equal(field.grad[..., 1:], torch.zeros(1, 2, 4, 3, dtype=torch.float64))


@each_reading
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_values_have_the_dtype_of_the_field(read, dtype):
    assert read(normal(1, 2, 4, 4).to(dtype), uniform(5, 0, 3)).dtype == dtype


@each_reading
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_position_that_is_not_finite_is_refused(read, bad):
    with pytest.raises(PointsError, match=rf"every position must be finite, got \[1.0, {bad}\]"):
        read(normal(1, 2, 4, 4), torch.tensor([[0.0, 0.0], [1.0, bad]]))


@each_reading
def test_whole_number_positions_are_refused(read):
    with pytest.raises(PointsError, match=r"floating point, got torch.int64"):
        read(normal(1, 2, 4, 4), torch.tensor([[1, 2]]))


@each_reading
@pytest.mark.parametrize("shape", [(2,), (4, 3)])
def test_positions_that_are_not_pairs_are_refused(read, shape):
    with pytest.raises(ShapeError, match=r"positions must be \(n 2\), got"):
        read(normal(1, 2, 4, 4), torch.zeros(shape))


@each_reading
@pytest.mark.parametrize(
    ("shape", "words"), [((2, 4, 4), "be .b c h w."), ((1, 2, 0, 4), "one cell")]
)
def test_a_field_that_cannot_be_read_is_refused(read, shape, words):
    with pytest.raises(ShapeError, match=f"field must (have at least )?{words}"):
        read(torch.zeros(shape), torch.zeros(1, 2))


def test_a_factor_below_one_is_refused():
    with pytest.raises(ConfigError, match="factor must be at least 1, got 0"):
        sample_refined(normal(1, 2, 4, 4), torch.zeros(1, 2), factor=0)


# windows


def test_a_window_runs_row_by_row():
    xy = window(torch.tensor([10.0, 20.0]), 1)
    rows = [[9, 19], [10, 19], [11, 19], [9, 20], [10, 20], [11, 20], [9, 21], [10, 21], [11, 21]]
    assert xy.tolist() == rows


@pytest.mark.parametrize("radius", [0, 1, 4])
def test_a_window_is_centred_and_has_its_size(radius):
    centre = torch.tensor([1.25, -3.5], dtype=torch.float64)
    xy = window(centre, radius, spacing=0.25)
    assert xy.shape == ((2 * radius + 1) ** 2, 2)
    close(xy.mean(0), centre)
    close(xy.amax(0) - xy.amin(0), torch.full((2,), 0.5 * radius, dtype=torch.float64))


def test_a_negative_radius_is_refused():
    with pytest.raises(ConfigError, match="radius must not be negative, got -1"):
        window(torch.zeros(2), -1)


def test_a_centre_that_is_no_pair_is_refused():
    with pytest.raises(ShapeError, match=r"centre must be \(2\), got \(1, 2\)"):
        window(torch.zeros(1, 2), 1)
