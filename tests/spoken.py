"""What a command says on stderr: lines of stages and cost, then one sentence on what went wrong."""

import re

STAGE = re.compile(
    r"[^:\n]+(?: \.\.\.|: \d+(?:\.\d)? s)"
    r"|.+ rows through the network of .+"
)


def sentence(err):
    """The one sentence at the end of what was said, with its newline; nothing but stages and cost before."""
    *before, last = err.splitlines()
    assert all(STAGE.fullmatch(line) for line in before), err
    assert last.startswith("featurekit: "), err
    return f"{last}\n"
