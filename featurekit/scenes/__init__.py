"""A procedural, captioned world with exact truth: pictures, line drawings, named points, moves.

Importing it does not import torch; ``featurekit.scenes.controls``, which works on tensors, does.
"""

from featurekit.scenes.kind import Kind, Mover
from featurekit.scenes.moves import Move, held_out_moves, move
from featurekit.scenes.world import HELD_OUT_SEEDS, KINDS, TRAIN_SEEDS, Scene, scene

__all__ = [
    "HELD_OUT_SEEDS",
    "KINDS",
    "TRAIN_SEEDS",
    "Kind",
    "Move",
    "Mover",
    "Scene",
    "held_out_moves",
    "move",
    "scene",
]
