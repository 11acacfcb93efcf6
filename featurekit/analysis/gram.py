"""What the inner products of a few long vectors tell: distances, principal axes, spread.

A Gram matrix of n vectors is (n n), however long they are, and it is a sum over their entries, so
that vectors need never be held whole. Everything here is float64.
"""

import torch
from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.precision import double
from featurekit.core.shapes import expect

CHUNK = 1 << 16  # entries of each vector that are taken to float64 at a time


def gram_of(vectors: Tensor, *, chunk: int = CHUNK) -> Tensor:
    """Multiply each vector with each; the Gram matrices of parts of vectors may be added.

    Args:
        vectors: (n d), any float dtype and device.
        chunk: entries of each vector taken at a time, >= 1.

    Returns:
        Inner products (n n), float64 on the CPU.

    Raises:
        ShapeError: the vectors are not (n d).
        ConfigError: ``chunk`` is below 1.
    """
    sizes = expect(vectors, "n d", of="vectors")
    if chunk < 1:
        raise ConfigError(f"chunk must be at least 1 entry, got {chunk}")
    gram = torch.zeros(sizes["n"], sizes["n"], dtype=torch.float64)
    for start in range(0, sizes["d"], chunk):
        part = double(vectors[:, start : start + chunk])
        gram += (part @ part.T).cpu()
    return gram


def centred(gram: Tensor) -> Tensor:
    """Move the origin to the mean of the vectors.

    Args:
        gram: (n n) float64.

    Returns:
        Gram matrix (n n) of the vectors less their mean.

    Raises:
        ShapeError: the matrix is not (n n).
    """
    _check(gram)
    rows = gram.mean(0, keepdim=True)
    return gram - rows - rows.T + gram.mean()


def distances(gram: Tensor) -> Tensor:
    """Measure how far each vector is from each.

    Args:
        gram: (n n) float64.

    Returns:
        Euclidean distances (n n); what rounding makes of a zero is zero.

    Raises:
        ShapeError: the matrix is not (n n).
    """
    _check(gram)
    lengths = gram.diagonal()
    squared = lengths[:, None] + lengths[None, :] - 2 * gram
    return squared.clamp(min=0).fill_diagonal_(0).sqrt()


def principal_scores(gram: Tensor, components: int) -> Tensor:
    """Find the coordinates of the vectors along the axes in which they vary most.

    Args:
        gram: (n n) float64.
        components: axes, 1 to n.

    Returns:
        Centred coordinates (n components), strongest axis first. Each axis points to where its
        largest coordinate is positive.

    Raises:
        ShapeError: the matrix is not (n n).
        ConfigError: there are fewer vectors than ``components``.
    """
    _check(gram)
    if not 1 <= components <= len(gram):
        raise ConfigError(f"components must lie in [1, {len(gram)}] (vectors), got {components}")
    values, vectors = torch.linalg.eigh(centred(gram))
    values, vectors = values.flip(0)[:components], vectors.flip(1)[:, :components]
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    scores: Tensor = vectors * largest.sign() * values.clamp(min=0).sqrt()
    return scores


def members(labels: Tensor) -> Tensor:
    """Write groups as a matrix, one column each.

    Args:
        labels: group of each vector, (n,), counted from 0.

    Returns:
        1 where a vector is in a group, (n k) float64.

    Raises:
        ShapeError: the labels are not (n,).
    """
    expect(labels, "n", of="labels")
    one_hot: Tensor = torch.nn.functional.one_hot(labels)
    return one_hot.double()


def to_centroids(gram: Tensor, groups: Tensor) -> Tensor:
    """Measure how far each vector is from the mean of each group.

    Args:
        gram: (n n) float64.
        groups: as ``members`` writes them, (n k), none of them empty.

    Returns:
        Squared distances (n k).

    Raises:
        ShapeError: the shapes are others.
    """
    expect(groups, "n k", of="groups", n=_check(gram))
    shares = groups / groups.sum(0)
    toward = gram @ shares
    lengths = (shares * toward).sum(0)
    return (gram.diagonal()[:, None] - 2 * toward + lengths).clamp(min=0)


def wcss(gram: Tensor, labels: Tensor) -> float:
    """Add up the squared distances of vectors from the mean of their group.

    Args:
        gram: (n n) float64.
        labels: group of each vector, (n,), from 0 with none left out.

    Returns:
        Within-cluster sum of squares.

    Raises:
        ShapeError: the shapes are others.
    """
    groups = members(labels)
    return float((to_centroids(gram, groups) * groups).sum())


def _check(gram: Tensor) -> int:
    n = expect(gram, "n m", of="Gram matrix")["n"]
    expect(gram, "n m", of="Gram matrix", n=n, m=n)
    return n
