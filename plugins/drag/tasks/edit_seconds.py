"""How long an edit takes, on whatever else the machine is busy with: seconds of the processor."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import process_time

from featurekit.core.types import Progress, silent
from featurekit_drag.engine.edit import Edit, Editor
from featurekit_drag.engine.request import Request


class EditClock:
    """Times edits; what one takes over from an earlier one counts as if it had been made anew."""

    def __init__(self) -> None:
        """Begin with nothing that was made."""
        self._made: dict[Path, float] = {}

    def timed(self, drag: Editor, request: Request) -> tuple[Edit, float]:
        """Edit a picture.

        Returns:
            The edit, and the seconds that the threads of this process computed for it, with those
            of a LoRA and of an inversion that an earlier edit timed here had made.
        """
        places, stages = drag.kept(request), dict[str, float]()

        @contextmanager
        def stage(name: str) -> Iterator[Progress]:
            began = process_time()
            yield silent
            stages[name] = process_time() - began

        began = process_time()
        done = drag(request, stage=stage)
        seconds = process_time() - began
        for name, slot in places.items():
            if slot.path is None:
                continue
            if name in stages:
                self._made[slot.path] = stages[name]
            else:  # kept by an earlier edit, or not part of this one
                seconds += self._made.get(slot.path, 0.0)
        return done, seconds
