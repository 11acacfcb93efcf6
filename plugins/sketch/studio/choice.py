"""What the page wants to draw in: a style, a mix of several, or the student of one."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from featurekit.core.errors import ConfigError
from featurekit.web.asked import Asked
from featurekit.web.tab import Json
from featurekit_sketch.studio.shelf import Shelf, Shelved

MOST = 8  # styles of a mix
DIGITS = 4  # of a share


@dataclass(frozen=True)
class Choice:
    """Styles with their shares; whether the student of the only one draws."""

    styles: tuple[Shelved, ...]
    shares: tuple[float, ...]
    student: bool = False

    @classmethod
    def read(cls, asked: Asked, shelf: Shelf) -> "Choice":
        """Read what the page sent.

        Args:
            asked: has ``style``, or ``styles`` with ``shares``; and ``student``.
            shelf: of the styles.

        Raises:
            UnknownNameError: there is no such style.
            ConfigError: a style is not learnt yet, shares are none, or a student is wanted where
                there is none.
        """
        names = asked.texts("styles", most=MOST)
        if asked.has("style"):
            names = [asked.text("style")]
        if not names:
            raise ConfigError("a style must be chosen to draw in, got none; pick one")
        shares = asked.numbers("shares", most=MOST) or [1.0] * len(names)
        return cls.of(names, shares, asked.flag("student", False), shelf)

    @classmethod
    def of(cls, names: list[str], shares: list[float], student: bool, shelf: Shelf) -> "Choice":
        """The choice of these; see ``read``."""
        if len(set(names)) != len(names):
            raise ConfigError(f"styles that are mixed must differ, got {', '.join(names)}")
        if len(shares) != len(names) or min(shares) < 0 or sum(shares) <= 0:
            raise ConfigError(
                f"each of {len(names)} styles must have a share, none negative and one more than "
                f"0, got {', '.join(f'{one:g}' for one in shares)}"
            )
        styles = [shelf.find(name) for name in names]
        for one in styles:
            if not one.is_learnt:
                raise ConfigError(
                    f"a style must be learnt before it draws, and {one.title!r} is not; go on "
                    f"with it first"
                )
        kept = [
            (one, round(share, DIGITS))
            for one, share in zip(styles, shares, strict=True)
            if round(share, DIGITS) > 0
        ]
        found = cls(tuple(one for one, _ in kept), tuple(share for _, share in kept), student)
        found._check()
        return found

    def _check(self) -> None:
        if not self.student:
            return
        if len(self.styles) > 1:
            raise ConfigError(
                "a student draws in one style, got a mix of several; let the styles draw it"
            )
        if not self.styles[0].has_student:
            raise ConfigError(
                f"{self.styles[0].title!r} has no student yet; make it fast first, or draw with "
                f"the style itself"
            )

    @property
    def told(self) -> Json:
        """As the page sent it."""
        return {
            "styles": [one.id for one in self.styles],
            "shares": list(self.shares),
            "student": self.student,
        }

    @property
    def key(self) -> str:
        """That tells what it draws from what others draw, also after a student was taught anew."""
        facts: list[object] = [self.told]
        for one in self.styles:
            files = [one.file, *([one.student] if self.student else [])]
            facts += [(file.stat().st_mtime_ns, file.stat().st_size) for file in files]
        return sha256(repr(facts).encode()).hexdigest()[:24]

    def settings(self, shelf: Shelf) -> dict[str, Any]:
        """Settings of a run, below ``plugin.``, that draws so.

        Raises:
            OutputError: the styles of a mix cannot be laid together.
        """
        if len(self.styles) > 1:
            folder = shelf.together(self.styles)
            shares = {one.id: share for one, share in zip(self.styles, self.shares, strict=True)}
            return {"style": str(folder), "mix": shares}
        (style,) = self.styles
        own = style.folder is not None
        found: dict[str, Any] = {"style": str(style.file) if own else style.id}
        if self.student:
            found["student"] = str(style.student) if own else style.id
        return found

    def into(self, cfg: Any, shelf: Shelf) -> None:  # noqa: ANN401 - OmegaConf's
        """Have a run draw so.

        Raises:
            OutputError: as ``settings``.
        """
        for name, value in self.settings(shelf).items():
            cfg.plugin[name] = value
