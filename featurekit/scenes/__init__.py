"""A procedural, captioned world with exact truth: pictures, line drawings, named points, moves.

Rendering, captions, truth and controls live here, and no network. Importing it does not import
torch; ``featurekit.scenes.controls``, which works on tensors, does. Read ``world.py`` first.
"""

from featurekit.scenes.kind import Kind, Mover
from featurekit.scenes.moves import Move, held_out_moves, move
from featurekit.scenes.world import (
    HELD_OUT_KINDS,
    HELD_OUT_SEEDS,
    KINDS,
    TRAIN_SEEDS,
    TRAINED_KINDS,
    WATCHED,
    Scene,
    held_out_scenes,
    scene,
)

__all__ = [
    "HELD_OUT_KINDS",
    "HELD_OUT_SEEDS",
    "KINDS",
    "TRAINED_KINDS",
    "TRAIN_SEEDS",
    "WATCHED",
    "Kind",
    "Move",
    "Mover",
    "Scene",
    "held_out_moves",
    "held_out_scenes",
    "move",
    "scene",
]
