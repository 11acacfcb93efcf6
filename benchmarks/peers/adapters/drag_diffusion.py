"""DragDiffusion's published code on the case of ``drag/case.py``, imported from its checkout.

No command: ``peers/drag.py`` and ``peers/beside_ours.py`` import it. Its parts run as they are:
override_forward, DragPipeline with forward_unet_features, step, invert and __call__,
drag_diffusion_update, MutualSelfAttentionControl. Its LoRA cannot run: what it is set with is gone
from diffusers.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import MethodType, SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.drag.case import PROMPT, Case
from benchmarks.peers.adapters.stock import pipeline
from benchmarks.records.side_by_side import hushed, module_of

TESTED = "ebe659a9"
STEPS, INVERTED = 50, 35
SETTINGS = {"r_m": 1, "r_p": 3, "lam": 0.1, "lr": 0.01, "unet_feature_idx": [3]}
RUN = {
    "guidance_scale": 1.0,
    "num_inference_steps": STEPS,
    "num_actual_inference_steps": INVERTED,
}


class Published:
    """The published code, on the networks of a case."""

    def __init__(self, case: Case, folder: str) -> None:
        """Import it.

        Args:
            case: what is dragged.
            folder: a checkout of DragDiffusion, ebe659a9.
        """
        self.case, self.unet = case, case.backbone.unet
        published = module_of(folder, "drag_pipeline")
        self.drag = module_of(folder, "utils.drag_utils")
        self.attention = module_of(folder, "utils.attn_utils")
        self.pipe = pipeline(published.DragPipeline, case.backbone, self.unet)
        self.forward = published.override_forward(self.unet)
        own = self.drag.point_tracking

        def pinned(
            before: Tensor, after: Tensor, handles: list, start: list, asked: SimpleNamespace
        ) -> list:
            kept = copy.deepcopy(handles)
            own(before, after, handles, start, asked)
            return kept

        self.drag.point_tracking = pinned

    @contextmanager
    def installed(self, *, classic: bool, frozen: bool) -> Iterator[None]:
        """Put its forward in place for the length of a block.

        Args:
            classic: attention as it runs without a LoRA; else torch's fused one.
            frozen: no weight asks for a gradient; as published, all do.
        """
        processors = self.unet.attn_processors
        self.unet.forward = self.forward
        self.unet.requires_grad_(not frozen)
        if classic:
            self.unet.set_default_attn_processor()
        try:
            yield
        finally:
            del self.unet.forward
            self.unet.set_attn_processor(processors)
            self.unet.requires_grad_(False)
            for weight in self.unet.parameters():
                weight.grad = None

    def update(self, z: Tensor, updates: int, mark: Callable[[], object] | None = None) -> Tensor:
        """Update a latent; every look at the network leaves a mark."""
        case, half = self.case, self.case.side_px // 2
        asked = SimpleNamespace(
            **SETTINGS,
            prompt=PROMPT,
            n_inference_step=STEPS,
            n_actual_inference_step=INVERTED,
            guidance_scale=1.0,
            n_pix_step=updates,
            sup_res_h=half,
            sup_res_w=half,
        )
        self.pipe.scheduler.set_timesteps(STEPS)
        t = self.pipe.scheduler.timesteps[STEPS - INVERTED]
        scale = half / case.side_px
        handles, targets = (
            [torch.round(xy.flip(0) * scale).float() for xy in points]
            for points in (case.points.handles, case.points.targets)
        )
        mask = functional.interpolate(case.mask, (half, half), mode="nearest")
        read = MethodType(type(self.pipe).forward_unet_features, self.pipe)

        def marked(*given: object, **named: object) -> object:
            if mark is not None:
                mark()
            return read(*given, **named)

        look = SimpleNamespace(step=self.pipe.step, forward_unet_features=marked)
        states = case.conditioning.states
        with hushed():
            return self.drag.drag_diffusion_update(
                look, z, states, t, handles, targets, mask, asked
            )

    def edit(self, updates: int, stage: Callable[[str], AbstractContextManager]) -> None:
        """Invert, update and denoise; to be called where it is installed."""
        states = self.case.conditioning.states
        with stage("inversion"), hushed():
            z = self.pipe.invert(self.case.image, PROMPT, encoder_hidden_states=states, **RUN)
        kept = z.clone()
        with stage("motion supervision"):
            moved = self.update(z, updates).detach()
        with stage("denoising"), hushed(), self._attention_shared():
            self.pipe(
                prompt=PROMPT,
                encoder_hidden_states=torch.cat([states] * 2),
                batch_size=2,
                latents=torch.cat([kept, moved]),
                **RUN,
            )

    @contextmanager
    def _attention_shared(self) -> Iterator[None]:
        """Put its attention in place from the third up block on."""
        layers = {path: part for path, part in self.unet.named_modules() if _is_attention(part)}
        before = [
            path for path in layers if "down" in path or "mid" in path or "up_blocks.1" in path
        ]
        control = self.attention.MutualSelfAttentionControl(
            start_step=0, start_layer=len(before) // 2, total_steps=STEPS, guidance_scale=1.0
        )
        self.attention.register_attention_editor_diffusers(
            self.pipe, control, attn_processor="lora_attn_proc"
        )
        try:
            yield
        finally:
            for layer in layers.values():
                layer.__dict__.pop("forward", None)


def _is_attention(part: nn.Module) -> bool:
    return type(part).__name__ == "Attention"
