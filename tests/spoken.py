"""What a command says on stderr: lines of stages and cost, then a sentence on what went wrong."""

import re

STAGE = re.compile(
    r"[^:\n]+(?: \.\.\.|: \d+(?:\.\d)? s)"
    r"|.+ rows through the network of .+"
)


def sentence(err):
    """The sentence at the end of what was said, with its newline; stages and cost before it."""
    *before, last = err.splitlines()
    assert all(STAGE.fullmatch(line) for line in before), err
    assert last.startswith("featurekit: "), err
    return f"{last}\n"
