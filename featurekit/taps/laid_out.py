"""Attention maps as they were collected, and where in the picture their queries and keys are."""

from collections.abc import Mapping

from torch import Tensor

from featurekit.core.errors import CaptureError
from featurekit.taps.capture import Captured
from featurekit.taps.joint_attention import JointTokens


class AttentionMaps(Captured):
    """Attention maps by tap name, and where in the picture their queries are."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Start empty.

        Args:
            names: as for ``Captured``.
        """
        super().__init__(names)
        self._grids: dict[str, tuple[int, int]] = {}
        self._joint: dict[str, JointTokens] = {}

    def as_map(self, name: str) -> Tensor:
        """Return the one map of a tap with its queries laid out as the cells they come from.

        Of a joint attention these are the queries of the picture; ``tokens`` says where they are.

        Args:
            name: a tap name.

        Returns:
            (b ... h w), a view, where the reduction gave (b q ...): with that of ``to_tokens`` a
            picture for each token, (b m h w).

        Raises:
            UnknownNameError: no such tap was asked for.
            CaptureError: the tap fired more often than once, or not yet; or its attention was
                given no rows of cells.
        """
        found = self[name]
        height, width = self._grids.get(name, (0, 0))
        joint = self._joint.get(name)
        if joint is not None and found.shape[1] == joint.total:
            found = found[:, joint.picture]
        if height * width != found.shape[1]:
            raise CaptureError(
                f"the queries of {name!r} must be the cells of a picture to be laid out, got "
                f"{found.shape[1]} queries and {height} * {width} cells; read it as it is"
            )
        rest = found.shape[2:]
        return found.movedim(1, -1).reshape(found.shape[0], *rest, height, width)

    def tokens(self, name: str) -> JointTokens:
        """Say which queries and keys of a joint attention are of the picture, which of the text.

        Args:
            name: a tap name.

        Returns:
            Where they are among all of its tokens.

        Raises:
            UnknownNameError: no such tap was asked for.
            CaptureError: the attention joins nothing, has not run, or its tokens have other places
                in each row.
        """
        self.all(name)
        if name not in self._joint:
            raise CaptureError(
                f"{name!r} must be the map of a joint attention that has run, with its tokens at "
                f"the same places in every row, to say where they are; read it as it is"
            )
        return self._joint[name]
