"""Names of activations: what an address says, and which taps a person's words mean. No torch."""

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from heapq import heappush, heappushpop
from itertools import takewhile

from featurekit.core.errors import CaptureError, ConfigError, UnknownNameError
from featurekit.core.types import Tap

_ADVICE = (
    "a role, a module path or a glob may be given as well: * stands for any text within a part, "
    "** for any number of parts"
)
_LEVEL = re.compile(
    r"(?:(?P<side>down|up)-level(?P<level>\d+)|(?P<mid>mid))(?:-repeat(?P<repeat>\d+))?-(?P<what>.+)"
)
_PARTS = {  # what a peer calls a part: what the part is called here, repeat and block filled in
    r"res-out": "resnet{repeat}",
    r"res-increment": "resnet{repeat}.conv2",
    r"vit-out": "attention{repeat}",
    r"vit-block(\d+)-out": "attention{repeat}.block{0}",
    r"vit-block(\d+)-self-(q|k|v|map)": "attention{repeat}.block{0}.attn1.{1}",
    r"vit-block(\d+)-cross-(q|k|v|map)": "attention{repeat}.block{0}.attn2.{1}",
    r"vit-block(\d+)-self-out": "attention{repeat}.block{0}.attn1",
    r"vit-block(\d+)-cross-out": "attention{repeat}.block{0}.attn2",
    r"vit-block(\d+)-ffn-inner": "attention{repeat}.block{0}.ff.inner",
    r"(?:down|up)sampler-out": "sampler",
}


def is_glob(word: str) -> bool:
    """Tell whether a word stands for all that it fits.

    Args:
        word: as ``resolve`` takes it.

    Returns:
        Whether it has one of ``*``, ``?`` and ``[``.
    """
    return any(sign in word for sign in "*?[")


def addressed(words: Sequence[str], taps: Iterable[Tap], *, network: str) -> dict[str, str]:
    """Find the addresses of what a person's words mean, as ``capture`` and ``inject`` take them.

    Args:
        words: as ``resolve`` reads them. A glob that fits attention maps and other things means
            the other things: maps are computed by ``attention_maps``.
        taps: what can be read.
        network: which network of the backbone the addresses are for.

    Returns:
        Address by name, in the order of the words; each tap once.

    Raises:
        UnknownNameError: a word means nothing here.
        CaptureError: a word means something in another network alone.
        ConfigError: no word is given.
    """
    if not words:
        raise ConfigError("addresses must be asked for something, got no word")
    listed = tuple(taps)
    found: dict[str, str] = {}
    for word in words:
        fits = resolve([word], listed)
        here = [tap for tap in fits if tap.network == network]
        if not here:
            raise CaptureError(
                f"{word!r} must lie in the {network} to be read there, but it lies in the "
                f"{fits[0].network}; ask for it with network={fits[0].network!r}"
            )
        computed = [tap for tap in here if tap.side == "map"]
        if is_glob(word) and len(computed) < len(here):
            here = [tap for tap in here if tap.side != "map"]
        found |= {tap.name: tap.address for tap in here}
    return found


def split_address(address: str) -> tuple[str, str]:
    """Read an address: a module path, and which side of the module is meant.

    Args:
        address: ``path`` for the output of a submodule, ``path:out0``, ``path:out1``, ... for one
            of the tensors of an output that is a tuple, ``path:in`` for its first input,
            ``path:skip0``, ``path:skip1``, ... for what its resnets get from the way down, in the
            order in which they take it.

    Returns:
        Path and side; the side is ``out`` where none is written.
    """
    path, _, side = address.partition(":")
    return path, side or "out"


def resolve(names: Sequence[str], taps: Iterable[Tap]) -> tuple[Tap, ...]:
    """Find the taps that a person's words mean.

    A word is read as the first of these that fits: a name, the name that a published extractor
    has for it (``dift1``, ``up-level1-repeat1-vit-block0-cross-q``), an address, a role; then as a
    glob over names, over addresses, over roles. In a glob ``*`` and ``?`` stay within one part
    between dots and ``**`` crosses any number of parts: ``up*.resnet*`` are the outputs of resnets,
    ``**.conv2`` the branches in all of them, ``up1.**`` is ``up1`` with all that is in it.

    Args:
        names: words, in any order.
        taps: what can be read, e.g. what ``describe_backbone`` lists.

    Returns:
        Taps in the order of the words and, within a glob or a role, of the listing; each once.

    Raises:
        UnknownNameError: a word means nothing here; no word is passed over.
        ConfigError: one text is given instead of a sequence of them.
    """
    if isinstance(names, str):
        raise ConfigError(f"taps must be a list of names, got the text {names!r}; write [{names}]")
    listed = tuple(taps)
    found: dict[str, Tap] = {}
    for name in names:
        for tap in _meant(name, listed):
            found.setdefault(tap.name, tap)
    return tuple(found.values())


def alias(name: str, taps: Sequence[Tap] = ()) -> str | None:
    """Translate the name that a published extractor has for an activation.

    Args:
        name: ``dift1`` (Tang et al. 2023: the up block of that index); ``(1, 2)`` (Luo et al. 2023,
            arXiv:2305.14334: the branch of a resnet, by up block and resnet); ``us6`` (Stracke et
            al. 2024, arXiv:2412.03439: layers of the way up, counted from 1); or a name in the
            words of Meng et al. 2024, arXiv:2410.03558.
        taps: what can be read, which alone tells how many layers there are.

    Returns:
        The tap's name here, whether a network has it or not; None for what is no such name.
    """
    if re.fullmatch(r"dift\d", name):
        return f"up{name[-1]}"
    pair = re.fullmatch(r"\((\d+), ?(\d+)\)", name)
    if pair is not None:
        return f"up{pair[1]}.resnet{pair[2]}.conv2"
    if re.fullmatch(r"us\d+", name):
        return _layer(int(name.removeprefix("us")), taps)
    words = _LEVEL.fullmatch(name)
    if words is None:
        return "conv_in" if name == "unet-after-conv-in" else None
    block = words["mid"] or f"{words['side']}{words['level']}"
    for pattern, part in _PARTS.items():
        found = re.fullmatch(pattern, words["what"])
        if found is not None:
            return f"{block}.{part.format(*found.groups(), repeat=words['repeat'] or '0')}"
    return None


def _layer(number: int, taps: Sequence[Tap]) -> str | None:
    """A layer of the way up, from 1: the last of a block is the block, hence after its sampler."""
    layers = [tap.name for tap in taps if re.fullmatch(r"up\d+\.resnet\d+", tap.name)]
    if not 1 <= number <= len(layers):
        return None
    block = layers[number - 1].partition(".")[0]
    if not any(name.startswith(f"{block}.") for name in layers[number:]):
        return block
    attention = layers[number - 1].replace("resnet", "attention")
    return attention if any(tap.name == attention for tap in taps) else layers[number - 1]


def _meant(name: str, taps: tuple[Tap, ...]) -> list[Tap]:
    """The taps that one word means, at least one."""
    other = alias(name, taps)
    exact: tuple[Callable[[Tap], bool], ...] = (
        lambda tap: tap.name == name,
        lambda tap: tap.name == other,
        lambda tap: tap.address == name,
    )
    for fits in exact:
        for tap in taps:
            if fits(tap):  # an address may have two names, of which the first listed is meant
                return [tap]
    runs = _runs(name)
    many: tuple[Callable[[Tap], bool], ...] = (
        lambda tap: tap.role == name,
        lambda tap: _fits(tap.name.split("."), runs),
        lambda tap: _fits(tap.address.split("."), runs),
        lambda tap: fnmatchcase(tap.role, name),
    )
    for fits in many if is_glob(name) else many[:1]:  # what is no glob fits itself alone
        found = [tap for tap in taps if fits(tap)]
        if found:
            return found
    known = {word for tap in taps for word in (tap.name, tap.role)}
    raise UnknownNameError("tap", name, known, _ADVICE, _suggested(name, taps))


def _suggested(word: str, taps: Sequence[Tap]) -> list[str]:
    """What a word may have been meant for: a name, a role, a module path or the end of one."""
    if not word.strip("."):
        return []
    depth = word.count(".") + 1
    paths = {tap.address for tap in taps}
    ends = {".".join(path.split(".")[-depth:]) for path in paths if path.count(".") >= depth}
    whole = {one for tap in taps for one in (tap.name, tap.role)} | paths
    if word in ends - whole:
        return [f"**.{word}"]
    slipped = {one for one in whole if _is_slip(word, one)}
    slips = [one for _, one in _closest(word, slipped, count=3, cutoff=0)]
    ended = [one for _, one in _closest(word, ends - whole, count=2, cutoff=0.8)]
    like = _closest(word, whole, count=3, cutoff=0.6)
    near = [one for _, one in like if SequenceMatcher(None, word, one).ratio() >= 0.8]
    rest = [one for _, one in like if one not in near]
    return list(dict.fromkeys([*slips, *near, *(f"**.{one}" for one in ended), *rest]))[:3]


def _closest(
    word: str, known: Iterable[str], *, count: int, cutoff: float
) -> list[tuple[float, str]]:
    """Find what ``difflib.get_close_matches`` finds, with its ratios, the closest first.

    The ratio costs most; it is asked only where its bound from above may still be among the best.
    """
    matcher = SequenceMatcher(b=word)
    bounded = []
    for one in known:
        matcher.set_seq1(one)
        if matcher.real_quick_ratio() >= cutoff and (bound := matcher.quick_ratio()) >= cutoff:
            bounded.append((bound, one))
    best: list[tuple[float, str]] = []
    for bound, one in sorted(bounded, reverse=True):
        if len(best) == count and bound < best[0][0]:
            break
        matcher.set_seq1(one)
        if (ratio := matcher.ratio()) >= cutoff:
            (heappush if len(best) < count else heappushpop)(best, (ratio, one))
    return sorted(best, reverse=True)


def _is_slip(word: str, other: str) -> bool:
    """Tell whether one letter is another one, is missing, too many, or swapped with the next."""
    pairs = zip(word, other, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    rest, others = word[same:], other[same:]
    if rest[1:] == others[1:] or rest[1:] == others or rest == others[1:]:
        return True
    return rest[:2] == others[:2][::-1] and rest[2:] == others[2:]


def _runs(glob: str) -> list[list[str]]:
    """The parts of a glob between one ``**`` and the next."""
    runs: list[list[str]] = [[]]
    for part in glob.split("."):
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(part)
    return runs


def _fits(parts: list[str], runs: list[list[str]]) -> bool:
    """Match a dotted name part by part."""
    first, last = runs[0], runs[-1]
    if len(runs) == 1:
        return len(parts) == len(first) and all(map(fnmatchcase, parts, first))
    at, end = len(first), len(parts) - len(last)
    if end < at or not all(map(fnmatchcase, [*parts[:at], *parts[end:]], [*first, *last])):
        return False
    for run in runs[1:-1]:  # each where it fits first, which leaves most to those after it
        places = range(at, end - len(run) + 1)
        found = next((one for one in places if all(map(fnmatchcase, parts[one:], run))), None)
        if found is None:
            return False
        at = found + len(run)
    return True
