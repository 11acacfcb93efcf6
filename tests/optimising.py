"""Words that choose an optimising drag in place of the default, which moves pixels."""

OPTIMISING = [
    "plugin.initialise=none",
    "plugin.supervision=anchored",
    "plugin.tracking=nearest",
    "plugin.identity=[lora,reference]",
]
