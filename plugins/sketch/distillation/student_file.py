"""The student's file: its weights, and which style it draws in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from featurekit.core.errors import ConfigError
from featurekit.images.io import write_tensors
from featurekit_sketch.bundled_styles import NAMES
from featurekit_sketch.distillation.student import Student
from featurekit_sketch.network.first_weights import first_weights
from featurekit_sketch.saved_weights import SavedKind, check_finite, read_saved

FAMILY, VERSION = "featurekit.student/", "1"
STUDENT = SavedKind(
    "student",
    ".safetensors or .onnx",
    f"student.safetensors that task=distil wrote, or name one that is shipped ({', '.join(NAMES)})",
    "distil it again",
)
WORDS = ("style", "side_px", "pairs", "iterations")


@dataclass(frozen=True, eq=False)
class StudentFile:
    """A student and where it comes from."""

    student: Student  # in evaluation
    style: str  # ``digest`` of the style's file that its teacher drew in
    side_px: int  # of a square picture at the size that it works at; 0: at a picture's own
    pairs: int  # how many there were
    iterations: int

    def words(self) -> dict[str, str]:
        """What stands in a file beside the weights."""
        return {
            "format": FAMILY + VERSION,
            "style": self.style,
            "side_px": str(self.side_px),
            "pairs": str(self.pairs),
            "iterations": str(self.iterations),
        }


def save_student(student: StudentFile, path: Path | str) -> Path:
    """Write a student as safetensors; the file at ``path`` is replaced as a whole.

    Raises:
        OutputError: it cannot be written; what was there stays.
    """
    return write_tensors(student.student.state_dict(), path, metadata=student.words())


def load_student(path: Path | str, *, style: str | None = None) -> StudentFile:
    """Read a student.

    Args:
        path: file that ``save_student`` wrote.
        style: digest of the style that it must draw in; None takes any.

    Raises:
        ConfigError: no such file, no whole one, one of another version or style, or with numbers
            that are not finite.
    """
    where = Path(path).expanduser()
    words, state = read_saved(where, STUDENT)
    check_words(words, where, style=style)
    with first_weights(0):  # which those of the file replace
        student = Student().eval()
    try:
        student.load_state_dict(state)
        found = file_of(student, words)
    except (RuntimeError, TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"a student must hold the weights and the record that task=distil wrote, but "
            f"{str(where)!r} does not ({first}); copy it again, or distil it again"
        ) from error
    check_finite(state, where, STUDENT)
    student.requires_grad_(False)
    return found


def file_of(student: Student, words: Mapping[str, str]) -> StudentFile:
    """A student with the record of its file, of which the names are known to be there.

    Raises:
        ValueError: a number is none.
    """
    side, pairs, iterations = (int(words[name]) for name in WORDS[1:])
    return StudentFile(student, words["style"], side, pairs, iterations)


def check_words(words: Mapping[str, str], path: Path, *, style: str | None) -> None:
    """Refuse a student of another version, or of another style than is asked for.

    Args:
        words: that stand in its file.
        path: of the file, for the message.
        style: digest of the style; None takes any.

    Raises:
        ConfigError: it is of another one, or no student at all.
    """
    found = words.get("format")
    if found is not None and found.startswith(FAMILY) and found != FAMILY + VERSION:
        raise ConfigError(
            f"a student must be of version {VERSION}, but {str(path)!r} is of version "
            f"{found.removeprefix(FAMILY)}; use the release that wrote it, or distil it again"
        )
    missing = [name for name in WORDS if name not in words]
    if found != FAMILY + VERSION or missing:
        said = f"has no {missing[0]}" if found == FAMILY + VERSION else f"says format={found}"
        raise ConfigError(
            f"a student must say format={FAMILY}{VERSION}, but {str(path)!r} {said}; give the "
            f"student.safetensors or student.onnx that task=distil wrote"
        )
    if style is not None and words["style"] != style:
        raise ConfigError(
            f"a student must draw in the style that is given, but {str(path)!r} was distilled from "
            f"another ({words['style'][:12]}, not {style[:12]}); leave plugin.style out, or distil "
            f"a student of that style"
        )
