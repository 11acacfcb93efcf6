"""What reading activations costs: plain hooks, ``fk.capture``, and nnsight if it is asked for.

python -m benchmarks.model.capture_beside_hooks           # all block outputs of the embedded UNet
python -m benchmarks.model.capture_beside_hooks --empty   # of as many parts that compute nothing
python -m benchmarks.model.capture_beside_hooks --sd      # of Stable Diffusion 1.5's shape, 32 x 32
python -m benchmarks.model.capture_beside_hooks --nnsight # beside nnsight, in any of the three

nnsight is no dependency: pip install nnsight==0.8.1 into an environment to throw away. Where it is
not installed its row is left out, with the reason. One thread, no gradient. On the UNet a forward
hides most of the cost; the network that computes nothing shows it bare. What names, prompts and
pictures cost is told after the table.
"""

import argparse
import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

import featurekit as fk
from benchmarks.records.recording import ratios, recorded, recorded_to, rounds_of, spread, typed
from benchmarks.records.side_by_side import Seconds, alone, compared, timed
from featurekit.backbones.folder import bundled_configs
from featurekit.backbones.unet import sd
from featurekit.diffusion.backbone import Backbone
from featurekit.taps.parts import refuse_stale

TIMESTEP, MANY = 261, 50
HELD_TO = ("bare forward", "plain hooks", "nnsight")
COLUMNS = (
    "one call",
    "CPU us, median (least to greatest)",
    "above the bare forward, CPU us",
    *(f"ratio to {'the ' if other.endswith('forward') else ''}{other}" for other in HELD_TO),
)


class Empty(nn.Module):
    """Nine blocks that pass on what they get, in a network of as many parts as another."""

    def __init__(self, other: nn.Module) -> None:
        """Keep a copy of the other network, which is never run."""
        super().__init__()
        self.other = copy.deepcopy(other)
        self.blocks = nn.ModuleList(nn.Identity() for _ in range(9))

    def forward(self, x: Tensor) -> Tensor:
        """Pass on the input."""
        for block in self.blocks:
            x = block(x)
        return x


def main(words: Sequence[str] | None = None) -> None:
    """Time each way to read.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=6, help="of a way in a round")
    parser.add_argument("--empty", action="store_true")
    parser.add_argument("--sd", action="store_true")
    parser.add_argument("--nnsight", action="store_true")
    recorded_to(parser)
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    backbone = large() if asked.sd else fk.load_backbone("embedded", device="cpu")
    if asked.empty:
        network = Empty(backbone.unet)
        paths = {f"block{number}": f"blocks.{number}" for number in range(9)}
        run = partial(network, torch.zeros(1, 4))
    else:
        cells = 32 if asked.sd else 16
        network, run = backbone.unet, forward_of(backbone, backbone.unet, cells)
        names = (name for name in backbone.taps if name.startswith(("down", "mid", "up")))
        paths = {name: backbone.taps[name].path for name in names if "." not in name}
    ways = reading(network, run, paths)
    if asked.nnsight:
        ways |= traced_empty(network) if asked.empty else beside_nnsight(backbone, cells)
    parts = sum(1 for _ in network.modules())
    found = compared(
        f"{len(paths)} outputs of a network of {parts} parts, one call",
        {name: partial(timed, do, asked.calls) for name, do in ways.items()},
        rounds=asked.rounds,
        unit="us",
    )
    rows = [row_of(name, found) for name in found]
    samples: dict[str, Sequence[object]] = {**rounds_of(found)}
    if not asked.empty and not asked.sd:
        for title, own in parts_of(backbone, paths).items():
            rows.append([title, spread(own, ".0f"), *[""] * (len(HELD_TO) + 1)])
            samples[f"{title}, CPU us"] = own
    network_of = "parts that compute nothing" if asked.empty else f"UNet of {backbone.name}"
    settings = {"network": network_of, "outputs": len(paths), "parts": parts,
                "rounds": asked.rounds, "calls_a_round": asked.calls}  # fmt: skip
    if not asked.empty:
        settings["cells"] = cells
    command = typed("model.capture_beside_hooks", words)
    recorded(asked.record, command, COLUMNS, rows, settings=settings, samples=samples)


def row_of(name: str, found: Mapping[str, list[Seconds]]) -> list[object]:
    """CPU time of one call, what of it is above the bare forward, and ratios to other ways."""
    own, bare = found[name], found["bare forward"]
    above = [1e6 * (one.cpu - least.cpu) for one, least in zip(own, bare, strict=True)]
    row: list[object] = [name, spread([1e6 * one.cpu for one in own], ".0f")]
    row.append(spread(above, ".0f") if own is not bare else "")
    for other in HELD_TO:
        beside = found.get(other, own)
        row.append("" if own in (beside, bare) else spread(ratios(own, beside)))
    return row


def large() -> Backbone:
    """Stable Diffusion 1.5 with random weights."""
    return sd.build("sd15", bundled_configs("sd15"), device="cpu")


def nnsight_of(network: nn.Module) -> object | None:
    """Wrap a copy of a network for nnsight; None where it is not installed, which is told."""
    try:
        from nnsight import NNsight  # only where it is asked for
    except ImportError as error:
        print(f"nnsight is left out: {error}")
        return None
    # of a copy: it replaces forwards, after which a network is refused by fk.capture
    return NNsight(copy.deepcopy(network))


def traced_empty(network: nn.Module) -> dict[str, Callable[[], object]]:
    """All nine outputs of the network that computes nothing, by nnsight."""
    model, x = nnsight_of(network), torch.zeros(1, 4)
    if model is None:
        return {}

    def traced() -> tuple[object, ...]:
        with model.trace(x):
            b0 = model.blocks[0].output.save()
            b1 = model.blocks[1].output.save()
            b2 = model.blocks[2].output.save()
            b3 = model.blocks[3].output.save()
            b4 = model.blocks[4].output.save()
            b5 = model.blocks[5].output.save()
            b6 = model.blocks[6].output.save()
            b7 = model.blocks[7].output.save()
            b8 = model.blocks[8].output.save()
        return b0, b1, b2, b3, b4, b5, b6, b7, b8

    return {"nnsight": traced}


def forward_of(backbone: Backbone, network: Callable, cells: int = 16) -> Callable[[], object]:
    """Make a call of a UNet of the backbone's shape."""
    z = torch.randn(1, backbone.latent_channels, cells, cells)
    return partial(network, z, TIMESTEP, encoder_hidden_states=backbone.embed("").states)


def reading(
    network: nn.Module, run: Callable[[], object], paths: Mapping[str, str]
) -> dict[str, Callable[[], object]]:
    """Ways to read all outputs of one call."""
    modules = dict(network.named_modules())

    def hooks() -> dict[str, object]:
        seen: dict[str, object] = {}

        def keep(name: str, part: nn.Module, given: object, output: object) -> None:
            seen[name] = output[0] if isinstance(output, tuple) else output

        handles = [
            modules[path].register_forward_hook(partial(keep, name)) for name, path in paths.items()
        ]
        run()
        for handle in handles:
            handle.remove()
        return seen

    def captured() -> Mapping[str, Tensor]:
        with fk.capture(network, paths) as seen:
            run()
        return seen

    return {"bare forward": run, "plain hooks": hooks, "fk.capture": captured}


def beside_nnsight(backbone: Backbone, cells: int) -> dict[str, Callable[[], object]]:
    """The same outputs of all nine blocks by nnsight, which is asked for them word by word."""
    model = nnsight_of(backbone.unet)
    if model is None:
        return {}
    z = torch.randn(1, backbone.latent_channels, cells, cells)
    states = backbone.embed("").states

    def traced() -> tuple[object, ...]:
        with model.trace(z, TIMESTEP, encoder_hidden_states=states):
            down0 = model.down_blocks[0].output.save()
            down1 = model.down_blocks[1].output.save()
            down2 = model.down_blocks[2].output.save()
            down3 = model.down_blocks[3].output.save()
            mid = model.mid_block.output.save()
            up0 = model.up_blocks[0].output.save()
            up1 = model.up_blocks[1].output.save()
            up2 = model.up_blocks[2].output.save()
            up3 = model.up_blocks[3].output.save()
        return down0, down1, down2, down3, mid, up0, up1, up2, up3

    return {"nnsight": traced}


def parts_of(backbone: Backbone, paths: Mapping[str, str]) -> dict[str, list[float]]:
    """Time what goes into a capture, and what is around it: CPU us, seven of each."""
    network, predict = backbone.unet, backbone.predictor(backbone.embed(""))
    one = {"up1": backbone.taps["up1"].path}
    z = torch.randn(1, backbone.latent_channels, 16, 16)
    image = torch.rand(1, 3, 64, 64) * 2 - 1

    def opened(taps: Mapping[str, str]) -> None:
        with fk.capture(network, taps):
            pass

    def left() -> None:
        with fk.capture(network, one, stop_after=True):
            predict(z, TIMESTEP)

    print("\nalone:")
    opening = "fk.capture opened and closed"
    asked: dict[str, tuple[Callable[[], object], int]] = {
        f"{opening}, all blocks": (partial(opened, paths), MANY),
        f"{opening}, one tap": (partial(opened, one), MANY),
        "named_modules": (lambda: dict(network.named_modules()), MANY),
        "refuse_stale": (partial(refuse_stale, network), MANY),
        "addresses('up1', 'cross_q')": (lambda: backbone.addresses("up1", "cross_q"), 5),
        "addresses('**.conv2')": (lambda: backbone.addresses("**.conv2"), 5),
        "describe_backbone('sd15')": (lambda: fk.describe_backbone("sd15"), 3),
        "embed('a face')": (lambda: backbone.embed("a face"), 5),
        "encode, 64 px": (lambda: backbone.encode(image), 5),
        "the UNet's forward": (forward_of(backbone, network), 5),
        "predict": (partial(predict, z, TIMESTEP), 5),
        "predict, left after up1": (left, 5),
        "fk.extract of up1, 64 px": (
            lambda: fk.extract(backbone, image, taps="up1", timesteps=TIMESTEP), 5,
        ),
        "load_backbone('embedded') again": (partial(fk.load_backbone, "embedded"), 1),
    }  # fmt: skip
    return {f"`{name}`" if "(" in name else name: alone(name, do, times=times)
            for name, (do, times) in asked.items()}  # fmt: skip


if __name__ == "__main__":
    main()
