"""English that the captions share."""


def article(phrase: str) -> str:
    """Put ``a`` or ``an`` before a phrase; right for every word of the world's vocabulary."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def on_background(colour: str, texture: str | None) -> str:
    """Say what is behind everything: ``on a striped blue background``."""
    described = f"{texture} {colour}" if texture else colour
    return f"on {article(described)} background"


def subject(caption: str) -> str:
    """What a caption is about: the last word of its first phrase."""
    words = caption.split()
    links = ("with", "and", "on", "under", "in")
    end = next((place for place, word in enumerate(words) if word in links), len(words))
    return words[end - 1]
