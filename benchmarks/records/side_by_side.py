"""Ways to do the same thing, measured in turns within one process: clocks, counts, a table.

No command: scripts of every room import it. Every ratio is one of CPU or wall seconds of the same
round, so that what slows the whole machine slows both; on a busy one only those of CPU repeat.
"""

import importlib
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import NamedTuple

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

OWN_PEAK = Path("/proc/self/status")
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6}


class Seconds(NamedTuple):
    """Of the clock on the wall, and of the CPU by all threads of this process."""

    wall: float
    cpu: float


Way = Callable[[], Seconds]


def now() -> Seconds:
    """Read both clocks."""
    return Seconds(time.perf_counter(), time.process_time())


def since(start: Seconds) -> Seconds:
    """What has passed by both clocks."""
    end = now()
    return Seconds(end.wall - start.wall, end.cpu - start.cpu)


def timed(do: Callable[[], object], times: int = 1) -> Seconds:
    """Seconds of one call, the mean of some."""
    start = now()
    for _ in range(times):
        do()
    passed = since(start)
    return Seconds(passed.wall / times, passed.cpu / times)


def middle(found: list[Seconds]) -> Seconds:
    """The median of each clock."""
    return Seconds(median(one.wall for one in found), median(one.cpu for one in found))


class Marks:
    """Stamps that a loop leaves, whatever it calls this with."""

    def __init__(self) -> None:
        """Start without a stamp."""
        self.stamps: list[Seconds] = []

    def __call__(self, *_: object) -> None:
        """Leave a stamp."""
        self.stamps.append(now())

    def step(self, skip: int = 0) -> Seconds:
        """Median time from stamp to stamp, the first ``skip`` left out."""
        pairs = list(zip(self.stamps, self.stamps[1:], strict=False))[skip:]
        return middle([Seconds(b.wall - a.wall, b.cpu - a.cpu) for a, b in pairs])


class Stages:
    """Seconds of each named stage, as the stages of a run are told to it."""

    def __init__(self) -> None:
        """Start without a stage."""
        self.found: dict[str, Seconds] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Time one stage; its progress goes nowhere."""
        start = now()
        yield lambda done, total: None
        self.found[name] = since(start)


class Calls:
    """Counts the calls of a network and their rows while a block runs."""

    def __init__(self, network: nn.Module) -> None:
        """Count nothing yet."""
        self.network, self.calls, self.rows = network, 0, 0

    def __enter__(self) -> "Calls":
        """Begin to count."""
        self.handle = self.network.register_forward_pre_hook(self._seen, with_kwargs=True)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.handle.remove()

    def _seen(self, network: nn.Module, given: tuple, named: dict) -> None:
        self.calls += 1
        self.rows += len(given[0] if given else named["sample"])


def compared(
    title: str, ways: Mapping[str, Way], *, rounds: int, unit: str = "ms", warm: bool = True
) -> dict[str, list[Seconds]]:
    """Run every way in turn, and print a table of medians and of ratios to the first way.

    Args:
        title: stands over the table.
        ways: each runs once and tells the seconds of what is compared.
        rounds: how often; every other one runs backwards.
        unit: s, ms or us.
        warm: run every way once before the first round.

    Returns:
        The seconds of each round by way.
    """
    for way in ways.values() if warm else ():
        way()
    found: dict[str, list[Seconds]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in ways if number % 2 == 0 else reversed(ways):
            found[name].append(ways[name]())
    print(f"\n{title}, {rounds} rounds")
    print(f"| | wall {unit} | ratio (min-max) | CPU {unit} | ratio (min-max) |")
    print("|---|---|---|---|---|")
    base = next(iter(found.values()))
    for name, own in found.items():
        cells = [name]
        for clock in Seconds._fields:
            mine, first = ([getattr(one, clock) for one in each] for each in (own, base))
            ratios = [a / b for a, b in zip(mine, first, strict=True)]
            cells.append(figure(median(mine) * UNITS[unit]))
            cells.append(f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
        print(f"| {' | '.join(cells)} |", flush=True)
    return found


def alone(title: str, do: Callable[[], object], *, times: int, unit: str = "us") -> list[float]:
    """Print the CPU time of one call: the median of seven means, and the least and greatest.

    Returns:
        The seven, from the least to the greatest.
    """
    do()
    found = sorted(timed(do, times).cpu * UNITS[unit] for _ in range(7))
    middle_one, least, greatest = map(figure, (found[3], found[0], found[-1]))
    print(f"  {title}: {middle_one} {unit} CPU ({least}-{greatest})", flush=True)
    return found


def figure(number: float) -> str:
    """Three digits, and all of those before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def flops(do: Callable[[], object]) -> int:
    """Counted operations of one call, two for a multiply-add.

    Attention runs as plain matrix products meanwhile: torch does not count the CPU's fused one.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        do()
    return counter.get_total_flops()


def peak_mib() -> float:
    """Most memory that this process has held so far.

    Linux counts into the usual figure what the process held that this one was forked from, but
    tells its own beside it.
    """
    if OWN_PEAK.exists():
        told = OWN_PEAK.read_text().partition("VmHWM:")[2].split()
        if told:
            return int(told[0]) / 1024
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (1024**2 if sys.platform == "darwin" else 1024)


@contextmanager
def hushed() -> Iterator[None]:
    """Let nothing be printed while a block runs."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield


def module_of(folder: str, name: str) -> ModuleType:
    """Import a module of published code from the folder that holds its checkout.

    Modules of another checkout that bear a name of this one's are forgotten; who has them keeps
    them.
    """
    place = Path(folder).resolve()
    own = {path.stem for path in place.iterdir()}
    for known, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if known.partition(".")[0] in own and not (file and place in Path(file).parents):
            del sys.modules[known]
    if sys.path[0] != str(place):
        sys.path.insert(0, str(place))
    return importlib.import_module(name)
