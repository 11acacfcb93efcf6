"""A style's own network, its student in torch and in onnxruntime, in turns on one picture.

python benchmarks/student.py                            # a style and a student of random weights
python benchmarks/student.py --style style.safetensors --student student.safetensors --threads 2

The time does not depend on the weights. Ratios are to the first row. The last two rows draw a
student at the picture's own size, every pixel of it, in place of the size that the style works at.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from side_by_side import compared, flops, timed
from torch import Tensor

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
        ways = _ways(asked, Path(folder))
        title = f"{asked.side} px, {torch.get_num_threads()} threads, torch {torch.__version__}"
        timers = {name: _timer(draw, image, name) for name, draw in ways.items()}
        compared(title, timers, rounds=asked.rounds)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--style", help="style.safetensors; none: one of random weights")
    parser.add_argument("--student", help="student.safetensors; none: one of random weights")
    parser.add_argument("--side", type=int, default=512, help="of the picture, px")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser


def _timer(draw: Draw, image: Tensor, name: str) -> Callable[[], object]:
    times = 1 if name == "teacher" else 4
    return lambda: timed(lambda: draw(image), times)


def _ways(asked: argparse.Namespace, folder: Path) -> Mapping[str, Draw]:
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
    print(
        f"student: {count_of(student.student):,} parameters, "
        f"{flops(lambda: whole(picture)) / 1e9:.1f} GFLOP at {asked.side} px"
    )
    return {
        "teacher": _teacher(asked),
        "student, torch": in_torch,
        "student, onnxruntime": in_onnx,
        "student of every pixel, torch": whole,
        "student of every pixel, onnxruntime": in_onnx.to_logit,
    }


def _teacher(asked: argparse.Namespace) -> Draw:
    backbone = load("embedded")
    if asked.style is not None:
        style = load_style(asked.style, backbone.name, digest(backbone.weights))
        return drawer_of(style, backbone, Tiling())
    reader = Reader(backbone, Reading("noise", 20), backbone.embed("").states.detach())
    two_scales = TwoScaleReader(reader, RANKS)
    networks = [
        new_network(two_scales, ("unet", "vae"), 1, seed).eval() for seed in range(NETWORKS)
    ]
    return TwoScaleDrawer.of_networks(two_scales, networks, WORKS_AT_PX)


if __name__ == "__main__":
    main()
