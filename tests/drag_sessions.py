"""What tests of interactive drags share: a model, a small scene, settings of few calls."""

from functools import cache

import torch

from featurekit.backbones import load
from featurekit.scenes import held_out_moves
from featurekit_drag import Session
from featurekit_drag.engine.settings import (
    DragSettings,
    PlanSettings,
    RedrawSettings,
    Rule,
    WarpSettings,
)
from featurekit_drag.inputs import from_move

PLAN = PlanSettings(shifts=1)
FAST = WarpSettings(
    PLAN, RedrawSettings(steps=4, strength=0.5, candidates=2, fill="model"), feather_px=2
)
OPTIMISED = DragSettings(Rule(updates=1), steps=4, identity=(), outside="hard", composite=True)
# calls that read a picture: encode, features, and whether the model knows it
PREPARING = 3
EDIT = 5  # and those of an edit: an encoding, two steps, two candidates' decodings


@cache
def backbone():
    return load("embedded", device="cpu", dtype="float32")


@cache
def subject(number=0, size=32):
    """A held-out move of one drag."""
    return from_move(held_out_moves(number + 1, deforms=False)[number], size=size, seed=0).request


def opened(**changed):
    """A session on the scene; ``rows`` are its drags."""
    request = subject()
    given = {"mask": request.mask, "settings": FAST, **changed}
    return Session.open(backbone(), request.image, request.prompt, **given)


def rows(by=1.0, number=0):
    """The drag of the scene, or a part of it."""
    return subject(number).up_to(by).points.rows


class Calls:
    """Counts the calls of the networks while a block runs."""

    def __init__(self, hear=lambda: None):
        self.count, self.hear, self.handles = 0, hear, []

    def __enter__(self):
        vae = backbone().vae
        for network in (backbone().unet, vae.encoder, vae.decoder):
            self.handles.append(network.register_forward_pre_hook(self.called))
        return self

    def called(self, *_):
        self.count += 1
        self.hear()

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()


def whole(session):
    """Run the edit that was started to its end."""
    while session.step():
        pass
    return session.result()


def same(one, other):
    return torch.equal(one, other)
