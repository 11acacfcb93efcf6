"""What a command says on stderr: lines of stages, then at most one sentence on what went wrong."""

import re

STAGE = re.compile(r"[^:\n]+(?: \.\.\.|: \d+(?:\.\d)? s)")


def sentence(err):
    """The one sentence at the end of what was said, with its newline; nothing but stages before."""
    *before, last = err.splitlines()
    assert all(STAGE.fullmatch(line) for line in before), err
    assert last.startswith("featurekit: "), err
    return f"{last}\n"
