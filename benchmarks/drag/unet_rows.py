"""How often a whole edit runs the UNet, and for how many rows, stage by stage.

python -m benchmarks.drag.unet_rows                    # three presets
python -m benchmarks.drag.unet_rows --presets default+freeze --updates 40

No LoRA is fitted, and the counts do not depend on the weights. One look more than there are updates
is taken at the network; of fewer latents than a preset animates, all are denoised.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from benchmarks.drag.case import SIDES_PX, case_of, edit, presets, settings
from benchmarks.records.side_by_side import Calls


def main(words: Sequence[str] | None = None) -> None:
    """Edit once with each preset and print its counts.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", choices=SIDES_PX, default="embedded")
    parser.add_argument("--updates", type=int, default=10)
    parser.add_argument(
        "--presets",
        type=presets,
        default="published,default,default+no_animation",
        help="published or default, with +freeze, +no_animation",
    )
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    case = case_of(asked.model)
    print("| preset | pictures of the animation | calls, rows by stage |\n|---|---|---|")
    for name in asked.presets:
        chosen = settings(case, name, asked.updates)
        found: dict[str, tuple[int, int]] = {}
        with Calls(case.backbone.unet) as seen:
            edit(case, chosen, counting(seen, found))
        stages = "; ".join(f"{stage} {calls}, {rows}" for stage, (calls, rows) in found.items())
        print(f"| {name} | {chosen.animation_frames} | {stages} |", flush=True)


def counting(seen: Calls, found: dict[str, tuple[int, int]]) -> Callable:
    """Make stages that note what of a count falls into each."""

    @contextmanager
    def stage(name: str) -> Iterator[Callable[[int, int], None]]:
        calls, rows = seen.calls, seen.rows
        yield lambda done, total: None
        found[name] = seen.calls - calls, seen.rows - rows

    return stage


if __name__ == "__main__":
    main()
