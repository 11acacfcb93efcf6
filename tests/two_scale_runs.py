"""Small trainings at two scales: drawn scenes, sampled pictures, and how often they are read."""

from contextlib import contextmanager, nullcontext

import torch

from featurekit.core.types import silent
from featurekit.measures.held_out import image_of
from featurekit.measures.model.lines import drawing_of
from featurekit.scenes import scene
from featurekit_sketch.inputs import Subject
from featurekit_sketch.sampling.cdst_sampler import Sample
from featurekit_sketch.sampling.noising_paths import noised_path
from featurekit_sketch.sampling.prior import fit_prior
from featurekit_sketch.sampling.sampled_pictures import SampledPictures
from featurekit_sketch.settings import Reading, Sampling
from featurekit_sketch.training.sketcher import Reader
from featurekit_sketch.two_scales.reading import TwoScaleReader
from featurekit_sketch.two_scales.training import RANKS, TwoScaleTraining

STEPS, SIDE = 20, 64


def stage(_):
    """A stage that tells nothing."""
    return nullcontext(silent)


def training_on(backbone, *, iterations=6, views=3, side_px=SIDE, seed=0):
    """What several styles share, on a backbone."""
    reader = Reader.of(backbone, Reading(steps=STEPS, seed=seed))
    prior = fit_prior(backbone, ("a red circle", "two blue houses", "a face"))
    pictures = SampledPictures(backbone, prior, Sampling(2), STEPS, seed)
    return TwoScaleTraining(
        TwoScaleReader(reader, RANKS), pictures, iterations, 2e-3, views, side_px, seed
    )


def drawn(seed=1, kind="face", style="brush", side=SIDE, *, cut=(slice(None), slice(None))):
    """A drawn scene, or a part of it."""
    one = scene(900_000 + seed, kind)
    rows, columns = cut
    image = image_of(one, side)[..., rows, columns]
    ink = (drawing_of(one, style, side)[..., rows, columns] + 1) / 2
    return Subject(image.contiguous(), ink.contiguous(), one.caption(), f"{kind} {seed}")


@torch.no_grad()
def samples_of(backbone, count=2):
    """Pictures without a drawing: scenes, as if the model had made them."""
    found = []
    for number in range(count):
        clean = backbone.encode(image_of(scene(800_000 + number, "vehicle"), SIDE))
        path = noised_path(backbone, clean, (1, 301), seed=number)
        found.append(Sample(path, backbone.embed("a car").states))
    return found


@contextmanager
def counted(backbone):
    """Rows that each call of the UNet is given."""
    rows = []
    hook = backbone.unet.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    yield rows
    hook.remove()
