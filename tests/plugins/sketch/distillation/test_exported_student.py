"""Exports draw as the student does at any size; a changed file is refused; parts leave no seam."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from featurekit.core.errors import ConfigError
from featurekit_sketch.distillation.export import (
    OPSET,
    check_exporter,
    exported_program,
    read_onnx,
    write_onnx,
    write_program,
)
from featurekit_sketch.distillation.sketching import StudentSketcher
from featurekit_sketch.distillation.student import Student
from featurekit_sketch.distillation.student_drawer import (
    StudentDrawer,
    in_parts,
    student_drawer,
)
from featurekit_sketch.distillation.student_file import StudentFile, save_student

STYLE = "a" * 64


def picture(height, width):
    return 2 * torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(5)) - 1


@pytest.fixture(scope="module")
def known():
    """A student whose ink is neither paper nor black."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        student = Student()
        for parameter in student.parameters():
            parameter.data.add_(0.05 * torch.randn_like(parameter))
        for _ in range(20):  # so that statistics are not those of the beginning
            student(2 * torch.rand(2, 3, 40, 40) - 1)
    student.eval().requires_grad_(False)
    student.ink.bias.sub_(student(picture(64, 64)).mean())
    return StudentFile(student, STYLE, 128, pairs=8, iterations=4)


@pytest.fixture(scope="module")
def program(known):
    return exported_program(known)


@pytest.fixture(scope="module")
def graph(known, program, tmp_path_factory):
    return write_onnx(program, known, tmp_path_factory.mktemp("graph") / "student.onnx")


@pytest.fixture
def changed(graph, tmp_path):
    """A copy that may be changed."""
    path = tmp_path / "student.onnx"
    path.write_bytes(graph.read_bytes())
    return path


SIZES = [(8, 8), (64, 64), (37, 91), (129, 50), (200, 304)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_onnxruntime_draws_as_torch_does(known, graph, height, width):
    image = picture(height, width)
    wanted, logit = StudentSketcher(known.student)(image)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found, found_logit = session.run(["ink", "logit"], {"picture": image.numpy()})
    assert found.shape == (1, 1, height, width)
    assert np.abs(found - wanted.numpy()).max() <= 1e-4
    assert np.abs(found_logit - logit.numpy()).max() <= 1e-4
    assert wanted.std() > 0.05


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_an_exported_program_draws_as_torch_does(known, program, height, width):
    image = picture(height, width)
    found = program.module()(image)
    torch.testing.assert_close(found, StudentSketcher(known.student)(image))


def test_a_program_is_read_back_from_its_file(known, program, tmp_path):
    path = write_program(program, tmp_path / "student.pt2")
    image = picture(33, 40)
    found = torch.export.load(path).module()(image)
    torch.testing.assert_close(found, StudentSketcher(known.student)(image))


def test_the_onnx_file_stands_alone_and_says_what_it_is(graph):
    model = onnx.load(graph)
    onnx.checker.check_model(model, full_check=True)
    assert [one.name for one in graph.parent.iterdir()] == ["student.onnx"]
    assert [one.version for one in model.opset_import if one.domain == ""] == [OPSET]
    (given,), (made, _) = model.graph.input, model.graph.output
    sides = [
        [one.dim_param or one.dim_value for one in each.type.tensor_type.shape.dim]
        for each in (given, made)
    ]
    assert sides[0][:2] == [1, 3]
    assert sides[1] == [1, 1, *sides[0][2:]]
    assert all(isinstance(one, str) for one in sides[0][2:])
    (record,) = [one.value for one in model.metadata_props if one.key == "featurekit.record"]
    assert '"digest"' in record
    assert STYLE in record


def test_batch_statistics_have_become_part_of_the_convolutions(graph):
    kinds = {node.op_type for node in onnx.load(graph).graph.node}
    assert "Conv" in kinds
    assert not kinds & {"BatchNormalization", "InstanceNormalization", "GroupNormalization"}


@pytest.mark.parametrize("place", [0.01, 0.5, 0.999])
def test_one_changed_byte_is_refused(changed, place):
    content = bytearray(changed.read_bytes())
    content[int(place * len(content))] ^= 1
    changed.write_bytes(content)
    with pytest.raises(ConfigError, match=r"as task=distil wrote it, but .* was changed"):
        read_onnx(changed)


def test_half_a_file_and_another_program_s_are_refused(changed):
    model = onnx.load(changed)
    changed.write_bytes(changed.read_bytes()[:5000])
    with pytest.raises(ConfigError, match="was changed, is not whole or is another program's"):
        read_onnx(changed)
    del model.metadata_props[:]
    changed.write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match="was changed, is not whole or is another program's"):
        read_onnx(changed)


def test_a_changed_record_is_refused(changed):
    content = changed.read_bytes()
    changed.write_bytes(content.replace(STYLE.encode(), b"b" * 64))
    with pytest.raises(ConfigError, match="was changed"):
        read_onnx(changed)


def test_a_graph_of_another_style_or_version_is_refused(changed, monkeypatch):
    with pytest.raises(ConfigError, match="was distilled from another"):
        read_onnx(changed, style="b" * 64)
    monkeypatch.setattr("featurekit_sketch.distillation.student_file.VERSION", "2")
    with pytest.raises(ConfigError, match=r"must be of version 2, but .* is of version 1"):
        read_onnx(changed)


def test_a_missing_graph_is_named(tmp_path):
    with pytest.raises(
        ConfigError, match=r"gave: No such file or directory; give the student\.onn"
    ):
        read_onnx(tmp_path / "student.onnx")


@pytest.mark.parametrize("module", ["onnx", "onnxscript"])
def test_without_the_extra_the_sentence_says_what_to_install(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"needs the package {module}, .*'featurekit\[onnx\]'"):
        check_exporter()


def test_without_onnxruntime_the_sentence_says_what_to_install(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"a student in ONNX needs .*'featurekit\[onnx\]'"):
        student_drawer(graph)


def test_both_files_draw_the_same(known, graph, tmp_path):
    stored = save_student(known, tmp_path / "student.safetensors")
    image = picture(45, 60)
    by_torch, by_onnx = (student_drawer(path, style=STYLE) for path in (stored, graph))
    assert by_torch.told != by_onnx.told
    torch.testing.assert_close(by_torch(image), by_onnx(image), rtol=0, atol=1e-4)
    assert by_torch(image).shape == (1, 1, 45, 60)


def test_parts_of_a_large_picture_leave_no_seam(known):
    image, told = picture(530, 500), []
    found = in_parts(known.student, image, 256, lambda *one: told.append(one))
    assert told == [(done, 6) for done in range(1, 7)]
    torch.testing.assert_close(found, known.student(image), rtol=0, atol=1e-4)


def test_a_style_without_a_size_of_its_own_is_drawn_at_the_picture_s(known):
    own, at_work = (StudentDrawer(known.student, side, "") for side in (0, 32))
    assert own.parts(2000, 3000) == 6
    assert at_work.parts(2000, 3000) == 1
    image = picture(64, 96)
    assert own(image).shape == at_work(image).shape == (1, 1, 64, 96)
    assert not torch.equal(own(image), at_work(image))


def test_a_large_picture_is_drawn_with_larger_strokes():
    """As its teacher draws it: at the size that the style works at."""
    seen = []

    def to_logit(image):
        seen.append(image.shape[-1])
        return 6 * image[:, :1]

    drawer = StudentDrawer(to_logit, 32, "")
    small = torch.full((1, 3, 32, 32), -1.0)
    small[..., 8:24, 10:14] = 1
    large = torch.nn.functional.interpolate(small, scale_factor=4)
    ink = drawer(large)
    assert ink.shape == (1, 1, 128, 128)
    shrunk = torch.nn.functional.avg_pool2d(ink, 4)
    torch.testing.assert_close(shrunk, drawer(small), rtol=0, atol=0.1)
    assert ((ink > 0.1) & (ink < 0.9)).float().mean() < 0.02
    assert seen == [32, 32]


def test_nothing_farther_than_is_read_changes_a_pixel(known):
    image = picture(16, 900).requires_grad_()
    StudentSketcher(known.student)(image)[0][0, 0, 8, 448].backward()
    seen = image.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    from_here = (seen - 448).abs().max()
    assert 150 < from_here < 208
