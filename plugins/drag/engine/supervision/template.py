"""A point goes along the line to its target as fast as its template can follow."""

from math import exp, log

import torch
from torch import Tensor

from featurekit_drag.engine.parts import Drags
from featurekit_drag.engine.settings import Rule
from featurekit_drag.engine.supervision.motion_supervision import patches

INNER = 5  # most updates between two decisions
PLACES = 10  # looked at for each decision
CLOSE = 0.5  # share of the expected loss below which a template has arrived at its point


class Template:
    """Supervision by a template that is renewed slowly, and the point where it is asked to be.

    Nothing is tracked: a point moves when the features there have become like its template, stays
    while they become so, and goes back when they do not. The published forward after the updates,
    in which this is decided, is the next update's own forward here: the latent is the same.

    Source: Ling et al. 2024, arXiv:2307.04684 (FreeDrag), section 3: adaptive template features
    and line search with backtracking; the numbers are its code's. Of several handles the slowest
    ends the updates between decisions.
    """

    def __init__(self, before: Tensor, drags: Drags, rule: Rule) -> None:
        """Take the templates from the unmoved features (1 c h w), and the first points."""
        self.rule, self.drags = rule, drags
        self.templates = patches(before, drags.handles, radius=rule.patch_radius)
        gaps = drags.targets - drags.handles
        self.lengths = gaps.norm(dim=1)
        self.ways = gaps / self.lengths.clamp_min(1e-12)[:, None]
        self.came = torch.zeros_like(self.lengths)  # of the length of each, units
        self.losses = torch.full_like(self.lengths, float("inf"))
        self.updates = 0  # since the last decision
        for handle in range(len(self.came)):
            self._advance(before, handle)
        self.chosen = self._seen(before)  # the losses when the points were chosen

    def follow(self, field: Tensor, handles: Tensor) -> Tensor:
        """Decide where the points are to be, once the updates between decisions are over."""
        del handles
        self.updates += 1
        self.losses = self._seen(field)
        if self.updates < INNER and not self._is_close().all():
            return self._points()
        self.updates = 0
        close = self._is_close()
        for handle in range(len(self.came)):
            if close[handle]:
                self._renew(field, handle)
                self._advance(field, handle)
            elif self.losses[handle] < self.chosen[handle]:
                self._renew(field, handle)
            else:
                self._go_back(field, handle)
        self.chosen = self._seen(field)
        return self._points()

    def loss(self, field: Tensor, handles: Tensor) -> Tensor:
        """Mean L1 between the patch at each point and its template, summed over handles."""
        del handles
        seen = patches(field, self._points(), radius=self.rule.patch_radius)
        return (seen - self.templates).abs().mean(dim=(1, 2)).sum()

    def has_arrived(self, handles: Tensor) -> bool:
        """Tell whether every point is at its target and the features there are its template."""
        del handles
        near: Tensor = self.lengths - self.came < self.rule.stop_distance
        return bool((near & self._is_close()).all())

    def _is_close(self) -> Tensor:
        close: Tensor = self.losses < CLOSE * self.rule.expected_loss
        return close

    def _points(self) -> Tensor:
        points: Tensor = self.drags.handles + self.came[:, None] * self.ways
        return points

    def _seen(self, field: Tensor) -> Tensor:
        seen = patches(field.detach(), self._points(), radius=self.rule.patch_radius)
        return (seen - self.templates).abs().mean(dim=(1, 2)).to(self.lengths)

    def _advance(self, field: Tensor, handle: int) -> None:
        """Go on to where the template costs about what is expected."""
        came = float(self.came[handle])
        places, losses = self._ahead(field, handle, came, came + self.rule.farthest)
        self.came[handle] = places[(losses - self.rule.expected_loss).abs().argmin()]

    def _go_back(self, field: Tensor, handle: int) -> None:
        """Go back, then to where the template costs least."""
        came = max(float(self.came[handle]) - self.rule.farthest, 0.0)
        places, losses = self._ahead(field, handle, came, came + 2 * self.rule.farthest)
        self.came[handle] = places[losses.argmin()]

    def _ahead(
        self, field: Tensor, handle: int, first: float, last: float
    ) -> tuple[Tensor, Tensor]:
        last = min(last, float(self.lengths[handle]))
        places = torch.linspace(first, last, PLACES + 1).to(self.came)[1:]
        centres = self.drags.handles[handle] + places[:, None] * self.ways[handle]
        seen = patches(field.detach(), centres, radius=self.rule.patch_radius)
        return places, (seen - self.templates[handle]).abs().mean(dim=(1, 2)).to(places)

    def _renew(self, field: Tensor, handle: int) -> None:
        """Mix the features at the point in, the more the more the template is like them."""
        expected = self.rule.expected_loss
        rise = log(9) / (0.6 * expected)
        away = float(self.losses[handle]) - 0.2 * expected
        weight = 1 / (1 + exp(min(rise * away, 700.0)))
        point = self._points()[handle : handle + 1]
        seen = patches(field.detach(), point, radius=self.rule.patch_radius)[0]
        self.templates[handle] = weight * seen + (1 - weight) * self.templates[handle]
