"""Labels follow the features: through any rearrangement, and no further than they are alike."""

import pytest
import torch

from featurekit.core.errors import ConfigError, ShapeError
from featurekit.features.label_propagation import overlap, propagate


def field(seed=0, h=6, w=8):
    return torch.randn(1, 32, h, w, generator=torch.Generator().manual_seed(seed))


def mask(h=6, w=8):
    return (torch.rand(1, 1, h, w, generator=torch.Generator().manual_seed(5)) > 0.5).float()


def test_labels_move_with_the_features():
    here, labels = field(), mask()
    order = torch.randperm(48, generator=torch.Generator().manual_seed(1))
    there = here.flatten(2)[:, :, order].reshape(1, 32, 4, 12)
    found = propagate(here, labels, there, neighbours=1)
    assert torch.equal(found, labels.flatten(2)[:, :, order].reshape(1, 1, 4, 12))


def test_the_length_of_a_feature_does_not_matter():
    here, labels = field(), mask()
    lengths = torch.rand(1, 1, 6, 8, generator=torch.Generator().manual_seed(2)) + 0.1
    assert torch.equal(propagate(here, labels, here * lengths, neighbours=1), labels)


def test_the_nearest_have_equal_say():
    here = torch.eye(4).reshape(1, 4, 2, 2)
    labels = torch.tensor([1.0, 0.0, 0.0, 1.0]).reshape(1, 1, 2, 2)
    there = torch.tensor([3.0, 2.0, 1.0, 0.0]).reshape(1, 4, 1, 1)
    found = [propagate(here, labels, there, neighbours=k).item() for k in (1, 2, 3, 4)]
    assert found == pytest.approx([1, 1 / 2, 1 / 3, 1 / 2])


def test_classes_are_carried_beside_each_other():
    here = field()
    labels = torch.nn.functional.one_hot(torch.arange(48) % 3, 3).T.reshape(1, 3, 6, 8).double()
    found = propagate(here, labels, field(1), neighbours=4)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.sum(1), torch.ones(1, 6, 8).double())


def test_overlap_is_intersection_over_union():
    a, b = torch.tensor([True, True, False, False]), torch.tensor([False, True, True, False])
    assert overlap(a, b) == pytest.approx(1 / 3)
    assert overlap(a, a) == 1
    assert overlap(a, ~a) == 0
    assert overlap(a & ~a, a & ~a) == 1


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="labels must be"):
        propagate(field(), mask(5, 8), field())
    with pytest.raises(ShapeError, match="features to label must be"):
        propagate(field(), mask(), torch.zeros(1, 3, 4, 4))
    with pytest.raises(ConfigError, match=r"neighbours must lie in \[1, 48\] \(cells\), got 49"):
        propagate(field(), mask(), field(), neighbours=49)
