"""How pictures are inverted for a store, in a word. Imports no torch."""

from dataclasses import dataclass

from featurekit.core.errors import ConfigError

METHODS = ("ddim", "anderson")  # whose latents, one state each, are all there is to keep


@dataclass(frozen=True)
class Inversion:
    """How pictures are inverted for a store."""

    method: str = "ddim"
    steps: int = 50

    @classmethod
    def named(cls, word: str) -> "Inversion":
        """Read an inversion from a word of a command line.

        Args:
            word: steps, such as ``50``; a method, such as ``anderson``; or ``anderson-50``.

        Returns:
            The inversion.

        Raises:
            ConfigError: the word is no such thing, or the method's latents are not all it needs.
        """
        method, _, number = f"{cls.method}-{word}".partition("-") if word.isdigit() else (
            word.partition("-")
        )  # fmt: skip
        fits = not number or (number.isascii() and number.isdigit() and int(number) > 0)
        if method not in METHODS or not fits:
            raise ConfigError(
                f"trajectories must be steps or one of {', '.join(METHODS)}, whose latents are all "
                f"there is to keep, such as 50 or anderson-50, got {word!r}"
            )
        return cls(method, int(number or cls.steps))

    def __str__(self) -> str:
        """The word that ``named`` reads."""
        return f"{self.method}-{self.steps}"
