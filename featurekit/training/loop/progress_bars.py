"""How far a training is: a bar in a terminal, a line every minute elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from featurekit.training.loop import checkpoints
from featurekit.training.loop.loop import Show
from featurekit.training.recipe import Run

LINE_SECONDS = 60.0  # between lines where there is no terminal
_HIDDEN = ("samples", "loss", "seconds")  # of a record of figures: shown elsewhere


@contextmanager
def bar(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar.

    Args:
        name: what is done.
        total: how much of it there is.

    Yields:
        What is to be called with every amount that is done.
    """
    with _bar(name, total) as show:
        yield lambda amount: show(amount, "")


@contextmanager
def bars() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Show one bar after another.

    Yields:
        What gives, by a name, what is to be told ``(done, total)``.
    """
    with ExitStack() as shown:

        def begin(name: str) -> Callable[[int, int], None]:
            shown.close()
            state = {"done": 0}
            advance: list[Callable[[int, str], None]] = []

            def tell(done: int, total: int) -> None:
                if not advance:
                    advance.append(shown.enter_context(_bar(name, total)))
                advance[0](done - state["done"], "")
                state["done"] = done

            return tell

        yield begin


@contextmanager
def reporter(name: str, run: Run) -> Iterator[Show]:
    """Show a training's samples, loss, speed and last held-out figures.

    Args:
        name: of the network.
        run: how long it is trained.

    Yields:
        What the training loop tells its progress to.
    """
    shown = 0
    with _bar(name, run.samples) as advance:

        def show(progress: checkpoints.Progress, loss: float) -> None:
            nonlocal shown
            last = progress.history[-1] if progress.history else {}
            figures = [f"{k} {v:.4g}" for k, v in last.items() if k not in _HIDDEN]
            speed = progress.samples / max(progress.seconds, 1e-9)
            words = " ".join([f"loss {loss:.4f}", *figures, f"{speed:.0f}/s"])
            advance(progress.samples - shown, words)
            shown = progress.samples

        yield show


@contextmanager
def _bar(name: str, total: int) -> Iterator[Callable[[int, str], None]]:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[words]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    told, done = time.monotonic(), 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(name, total=total, words="")

        def advance(amount: int, words: str) -> None:
            nonlocal told, done
            done += amount
            bars.update(task, advance=amount, words=words)
            if not console.is_terminal and time.monotonic() - told > LINE_SECONDS:
                sys.stderr.write(f"{name} {done:,}/{total:,} {words}\n")
                told = time.monotonic()

        yield advance
