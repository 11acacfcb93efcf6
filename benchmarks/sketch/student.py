"""A style's own network, its student in torch and in onnxruntime, in turns on one picture.

python -m benchmarks.sketch.student                       # a style and a student of random weights
python -m benchmarks.sketch.student --threads 2 --style style.safetensors --student s.safetensors

The time does not depend on the weights. Ratios are to the first row. The last two rows draw a
student at the picture's own size, every pixel of it, in place of the size that the style works at.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks.records.recording import ratios, recorded, recorded_to, rounds_of, spread, typed
from benchmarks.records.side_by_side import compared, flops, timed
from featurekit.backbones import load
from featurekit.measures.held_out import image_of
from featurekit.scenes import scene
from featurekit_sketch.distillation.export import exported_program, write_onnx
from featurekit_sketch.distillation.sketching import StudentSketcher
from featurekit_sketch.distillation.student import Student, count_of
from featurekit_sketch.distillation.student_drawer import student_drawer
from featurekit_sketch.distillation.student_file import StudentFile, load_student, save_student
from featurekit_sketch.settings import Reading, Tiling
from featurekit_sketch.tasks.drawers import drawer_of
from featurekit_sketch.training.sketcher import Reader
from featurekit_sketch.training.style_file import digest, load_style
from featurekit_sketch.two_scales.drawer import TwoScaleDrawer, new_network
from featurekit_sketch.two_scales.reading import TwoScaleReader
from featurekit_sketch.two_scales.training import NETWORKS, RANKS

WORKS_AT_PX = 128
COLUMNS = (
    "a sketch",
    "CPU ms, median (least to greatest)",
    "ratio to the first",
    "ms by the wall",
    "ratio to the first",
    {"title": "weights", "format": ",d"},
    {"title": "GFLOP", "format": ".1f"},
)

Draw = Callable[[Tensor], object]


def main(words: Sequence[str] | None = None) -> None:
    """Time every way and print a table.

    Args:
        words: of the command line; None takes them from ``sys.argv``.
    """
    asked = _arguments().parse_args(words)
    torch.set_grad_enabled(False)
    torch.set_num_threads(asked.threads)
    image = image_of(scene(5, "face"), asked.side)
    with TemporaryDirectory() as folder:
        ways, weights, work = _ways(asked, Path(folder))
        title = f"{asked.side} px, {torch.get_num_threads()} threads, torch {torch.__version__}"
        timers = {name: _timer(draw, image, name) for name, draw in ways.items()}
        found = compared(title, timers, rounds=asked.rounds)
    rows = []
    for name, own in found.items():
        row: list[object] = [name]
        for clock in ("cpu", "wall"):
            row.append(spread([1000 * getattr(one, clock) for one in own], ".1f"))
            row.append(spread(ratios(own, found["teacher"], clock), ".3f"))
        is_student = name != "teacher"
        rows.append([*row, weights if is_student else None, work if "every" in name else None])
    settings = {"side_px": asked.side, "rounds": asked.rounds, "threads": asked.threads,
                "works_at_px": WORKS_AT_PX,
                "weights": "random" if asked.student is None else "of a student"}  # fmt: skip
    command = typed("sketch.student", words)
    recorded(asked.record, command, COLUMNS, rows, settings=settings, samples=rounds_of(found))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", help="style.safetensors; none: one of random weights")
    parser.add_argument("--student", help="student.safetensors; none: one of random weights")
    parser.add_argument("--side", type=int, default=512, help="of the picture, px")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    recorded_to(parser)
    return parser


def _timer(draw: Draw, image: Tensor, name: str) -> Callable[[], object]:
    times = 1 if name == "teacher" else 4
    return lambda: timed(lambda: draw(image), times)


def _ways(asked: argparse.Namespace, folder: Path) -> tuple[Mapping[str, Draw], int, float]:
    """Every way to draw; the weights of a student, and its work of every pixel in GFLOP."""
    stored = folder / "student.safetensors"
    if asked.student is None:
        student = StudentFile(Student().eval(), "", WORKS_AT_PX, pairs=0, iterations=0)
    else:
        student = load_student(asked.student)
    save_student(student, stored)
    graph = write_onnx(exported_program(student), student, folder / "student.onnx")
    in_torch, in_onnx = student_drawer(stored), student_drawer(graph)
    whole = StudentSketcher(student.student).eval()
    picture = torch.zeros(1, 3, asked.side, asked.side)
    ways = {
        "teacher": _teacher(asked),
        "student, torch": in_torch,
        "student, onnxruntime": in_onnx,
        "student of every pixel, torch": whole,
        "student of every pixel, onnxruntime": in_onnx.to_logit,
    }
    return ways, count_of(student.student), flops(lambda: whole(picture)) / 1e9


def _teacher(asked: argparse.Namespace) -> Draw:
    backbone = load("embedded")
    if asked.style is not None:
        style = load_style(asked.style, backbone.name, digest(backbone.weights))
        return drawer_of(style, backbone, Tiling())
    reader = Reader.of(backbone, Reading("noise", 20))
    two_scales = TwoScaleReader(reader, RANKS)
    networks = [
        new_network(two_scales, ("unet", "vae"), 1, seed).eval() for seed in range(NETWORKS)
    ]
    return TwoScaleDrawer.of_networks(two_scales, networks, WORKS_AT_PX)


if __name__ == "__main__":
    main()
