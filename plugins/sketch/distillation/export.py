"""The student for other programs: one ONNX file for pictures of any size, and ``torch.export``.

The ONNX file carries its own record: version, style, and a digest of everything else in it. It is
the last of the model's ``metadata_props``, which protobuf allows to be appended, so that it can be
checked with nothing but the bytes, and any reader of ONNX reads the file.
"""

import io
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from featurekit.core.atomic import replacing
from featurekit.core.errors import ConfigError
from featurekit.pipeline.extras import from_extra
from featurekit_sketch.distillation.sketching import StudentSketcher
from featurekit_sketch.distillation.student_file import StudentFile, check_words

OPSET = 18
SMALLEST_PX, LARGEST_PX = 8, 16384  # sides of pictures that a graph is for
EXAMPLE_PX = (72, 88)  # of the picture that a graph is traced with; no side depends on it
EXTRA = "onnx"
INPUT, INK, LOGIT = "picture", "ink", "logit"
RECORD, DIGEST = "featurekit.record", "digest"  # of metadata_props; and a word of it
METADATA = 14  # number of the field ``metadata_props`` in a ModelProto, from ONNX's protobuf


def check_exporter() -> None:
    """Refuse work whose result could not be exported.

    Raises:
        ConfigError: a package of the extra is not installed.
    """
    for target in ("onnx:load", "onnxscript:script"):
        from_extra(target, extra=EXTRA, what="plugin.onnx")


def exported_program(student: StudentFile) -> torch.export.ExportedProgram:
    """The student with its rendering as a graph of torch, without TorchScript.

    Args:
        student: to export.

    Returns:
        Program from a picture (1 3 h w) in [-1, 1] to its ink and the logit of it (1 1 h w),
        h and w of 8 to 16384. It draws at the size that it is given: what a style knows of strokes
        it knows at the size that it works at, so a caller makes other pictures that large first.
    """
    sides = {
        2: torch.export.Dim("height", min=SMALLEST_PX, max=LARGEST_PX),
        3: torch.export.Dim("width", min=SMALLEST_PX, max=LARGEST_PX),
    }
    sketcher = StudentSketcher(student.student).eval()
    return torch.export.export(
        sketcher, (torch.zeros(1, 3, *EXAMPLE_PX),), dynamic_shapes={INPUT: sides}
    )


def write_program(program: torch.export.ExportedProgram, path: Path | str) -> Path:
    """Write a graph of torch (.pt2), for ``torch.export.load``.

    Raises:
        OutputError: it cannot be written.
    """
    content = io.BytesIO()
    torch.export.save(program, content)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())
    return Path(path)


def write_onnx(
    program: torch.export.ExportedProgram, student: StudentFile, path: Path | str
) -> Path:
    """Write a graph as one ONNX file, with nothing beside it.

    Args:
        program: of ``exported_program``.
        student: whose record is written.
        path: of the file; what is there is replaced as a whole.

    Raises:
        ConfigError: a package of the extra is not installed.
        OutputError: it cannot be written.
    """
    check_exporter()
    found: Any = torch.onnx.export(
        program,
        input_names=[INPUT],
        output_names=[INK, LOGIT],
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )
    graph: bytes = found.model_proto.SerializeToString()
    words = student.words()
    record = json.dumps(words | {DIGEST: _digest(graph, words)})
    with replacing(path) as temporary:
        temporary.write_bytes(graph + _property(RECORD, record.encode()))
    return Path(path)


def read_onnx(path: Path | str, *, style: str | None = None) -> tuple[bytes, Mapping[str, str]]:
    """Read an ONNX file that ``write_onnx`` wrote, and see that not one byte was changed.

    Args:
        path: of the file.
        style: digest of the style that it must draw in; None takes any.

    Returns:
        The file's bytes, and its record.

    Raises:
        ConfigError: there is no such file, it is another program's or was changed, or it is of
            another version or style.
    """
    where = Path(path).expanduser()
    try:
        content = where.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"a student must be a .safetensors or .onnx file that can be read, but {str(where)!r} "
            f"gave: {error.strerror}; give the student.onnx that task=distil wrote"
        ) from error
    words = _record(content)
    if words is None:
        raise ConfigError(
            f"a student must be as task=distil wrote it, but {str(where)!r} was changed, is not "
            f"whole or is another program's; copy it again, or distil it again"
        )
    check_words(words, where, style=style)
    return content, words


def _record(content: bytes) -> dict[str, str] | None:
    """The words at the end of a file, if they are those of the bytes before them."""
    text = content[content.rfind(RECORD.encode()) :].partition(b"{")
    record = b"".join(text[1:])
    graph = content[: -len(_property(RECORD, record))]
    try:
        words: dict[str, str] = json.loads(record)
        digest = words.pop(DIGEST, "")
    except (ValueError, AttributeError):
        return None
    whole = content == graph + _property(RECORD, record) and digest == _digest(graph, words)
    return words if whole else None


def _digest(graph: bytes, words: Mapping[str, str]) -> str:
    return sha256(graph + json.dumps(dict(words), sort_keys=True).encode()).hexdigest()


def _property(name: str, value: bytes) -> bytes:
    """One entry of ``metadata_props`` in protobuf's encoding: key is field 1, value field 2."""
    parts = b"".join(
        bytes([number << 3 | 2]) + _length(text) + text
        for number, text in ((1, name.encode()), (2, value))
    )
    return bytes([METADATA << 3 | 2]) + _length(parts) + parts


def _length(content: bytes) -> bytes:
    """How long something is, as protobuf's varint."""
    size, found = len(content), bytearray()
    while size > 127:
        found.append(size & 127 | 128)
        size >>= 7
    return bytes([*found, size])
