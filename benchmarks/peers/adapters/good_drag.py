"""GoodDrag's published step on the case of ``drag/case.py``, imported from its checkout.

No command: ``peers/beside_ours.py`` imports it. Its network's forward, ``gooddrag_step`` with the
loss and the tracking, and ``get_original_features`` run as they are. Its constructor is not used:
it loads the networks by a name. Accelerate is stood in for by plain float32 where it asks for 16
bits of a GPU. Its tracking finds nothing where its window reaches over the border, as on small
maps: the window is made smaller there. Its LoRA cannot run: what it is set with is gone from
diffusers.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.drag.case import Case
from benchmarks.peers.adapters.no_gpu import on_no_device, standing_in
from benchmarks.peers.adapters.stock import scheduler
from benchmarks.records.side_by_side import hushed, module_of

TESTED = "fc01bc13"
STEPS, INVERTED = 50, 38
UPDATES_PER_TRACKING = 3
NEVER = -1.0  # loss below which its own code would track earlier
SETTINGS = {"r_1": 4, "r_2": 12, "lam": 0.1, "beta": 4, "lr": 0.02, "t2": 7, "once_drag": False}


class GoodDrag:
    """The published code, on the networks of a case."""

    def __init__(self, case: Case, folder: str) -> None:
        """Import it.

        Args:
            case: what is dragged.
            folder: a checkout of GoodDrag, fc01bc13.
        """
        self.case, self.unet = case, case.backbone.unet
        with standing_in(pytorch_lightning={"seed_everything": torch.manual_seed}):
            self.code = module_of(folder, "pipeline")
        levels = scheduler()
        levels.set_timesteps(STEPS)
        half = case.side_px // 2
        self.own = object.__new__(self.code.GoodDragger)
        vars(self.own).update(
            SETTINGS,
            model=SimpleNamespace(unet=self.unet, scheduler=levels),
            unet_feature_idx=[3],
            sup_res_h=half,
            sup_res_w=half,
            full_height=case.side_px,
            full_width=case.side_px,
            n_inference_step=STEPS,
            n_actual_inference_step=INVERTED,
            max_drag_per_track=UPDATES_PER_TRACKING,
            drag_loss_threshold=NEVER,
            max_no_change_track_num=10**6,
            drag_count=0,
        )
        self.forward = self.code.override_forward(self.unet)
        tracking = self.code.point_tracking

        def pinned(before: Tensor, after: Tensor, handles: list, start: list, r: int) -> list:
            kept = copy.deepcopy(handles)
            high, wide = after.shape[2:]
            room = [int(min(y, x, high - 1 - y, wide - 1 - x)) for y, x in handles]
            tracking(before, after, handles, start, min(r, *room))
            return kept

        self.code.point_tracking = pinned
        self.code.Accelerator = _Plain

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put its forward in place for the length of a block; weights ask for gradients, as its."""
        self.unet.forward = self.forward
        self.unet.requires_grad_(True)
        try:
            yield
        finally:
            del self.unet.forward
            self.unet.requires_grad_(False)
            for weight in self.unet.parameters():
                weight.grad = None

    def update(self, z: Tensor, updates: int, mark: Callable[[], object] | None = None) -> None:
        """Update a latent at its first level, a tracking after every third; each look is marked."""
        own, states = self.own, self.case.conditioning.states
        own.track_per_denoise = updates // UPDATES_PER_TRACKING
        own.do_drag, own.no_change_track_num, own.compare_mode = True, 0, False
        points = [
            one.tolist()
            for pair in zip(self.case.points.handles, self.case.points.targets, strict=True)
            for one in pair
        ]
        timesteps = own.model.scheduler.timesteps[STEPS - INVERTED :]
        mask = functional.interpolate(self.case.mask, z.shape[2:], mode="nearest")
        with hushed(), on_no_device():
            handles, targets = own.get_handle_target_points(points)
            steps, features = own.get_original_features(z, states)
            read = type(own).forward_unet_features.__get__(own)

            def marked(*given: object, **named: object) -> object:
                if mark is not None:
                    mark()
                return read(*given, **named)

            own.forward_unet_features = marked
            try:
                own.gooddrag_step(
                    z, *timesteps[:2], states, handles, targets, features,
                    copy.deepcopy(handles), steps, mask,
                )  # fmt: skip
            finally:
                del own.forward_unet_features


class _Plain:
    """Stands in for an ``Accelerator``: everything stays where and what it is."""

    def __init__(self, **_: object) -> None:
        """Take what it is asked for, and do nothing of it."""

    def prepare(self, *things: object) -> tuple[object, ...]:
        """Give things back."""
        return things

    def backward(self, loss: Tensor) -> None:
        """Go back from a loss."""
        loss.backward()
