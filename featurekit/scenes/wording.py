"""English that the captions share."""


def article(phrase: str) -> str:
    """Put ``a`` or ``an`` before a phrase; right for every word of the world's vocabulary."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def on_background(colour: str, texture: str | None) -> str:
    """Say what is behind everything: ``on a striped blue background``."""
    described = f"{texture} {colour}" if texture else colour
    return f"on {article(described)} background"
