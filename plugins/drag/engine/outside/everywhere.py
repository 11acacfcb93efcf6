"""Without a mask everything may change."""

from torch import Tensor

from featurekit_drag.engine.parts import Readout


class Everywhere:
    """Holds nothing and costs nothing."""

    def __init__(self, value: Tensor, before: Readout) -> None:
        """Take what every such part is made of, and leave it."""

    def held(self, value: Tensor) -> Tensor:
        """Hold nothing."""
        return value

    def price(self, readout: Readout) -> Tensor:
        """Cost nothing."""
        return readout.field.new_zeros(())
