"""How often a CLIP finds a held-out picture's own caption among many."""

from collections.abc import Callable

import torch

from featurekit.backbones.open_clip import OpenClip
from featurekit.measures import Measured
from featurekit.scenes import WATCHED
from featurekit.training.data import rendered_drawings
from featurekit.training.data.rendered_scenes import scaled
from featurekit.training.networks.clip import CANDIDATES, inked
from featurekit.training.stages import held_out_drawings


@torch.no_grad()
def measure_retrieval(clip: OpenClip, *, progress: Callable[[int, int], None]) -> Measured:
    """Find captions by pictures, and captions of drawings by drawings, among ``CANDIDATES``.

    Args:
        clip: model to measure.
        progress: told how many of the two are done.

    Returns:
        ``retrieval`` and ``retrieval_drawings``: shares in [0, 1]; a caption that reads the same
        counts as found.
    """
    pictures, sheets, captions = held_out_drawings(clip.size[0], skip=WATCHED)
    titles = [
        rendered_drawings.drawn_caption(text, style=rendered_drawings.style_of(i))
        for i, text in enumerate(captions)
    ]
    pairs = {
        "retrieval": (scaled(pictures)[0], captions),
        "retrieval_drawings": (inked(sheets), titles),
    }
    found = {}
    for done, (name, (images, texts)) in enumerate(pairs.items(), start=1):
        hits = 0
        starts = range(0, len(images) - CANDIDATES + 1, CANDIDATES)
        for start in starts:
            some = texts[start : start + CANDIDATES]
            near = clip.embed_image(images[start : start + CANDIDATES]) @ clip.embed_text(some).T
            hits += sum(
                some[j] == own for j, own in zip(near.argmax(1).tolist(), some, strict=True)
            )
        found[name] = hits / (len(starts) * CANDIDATES)
        progress(done, len(pairs))
    return Measured(found, {})
