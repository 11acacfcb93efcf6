"""On Windows `featurekit extract` cannot be imported, though no store is asked for.

`fcntl` is made unavailable here, as it is there; what store= does on a real Windows cannot be seen
so. Expected: extract of a picture into files works. Seen: exit code 2, "target ... must name an
importable callable, but ModuleNotFoundError ... check the installation", from `import fcntl` at the
top of locks.py; `featurekit store` alike. invert, run, pck and analyse could be imported.
"""

import contextlib
import io
import sys
import tempfile
from pathlib import Path

sys.modules["fcntl"] = None

from featurekit.cli.router import main  # noqa: E402  # only now is fcntl gone
from featurekit.scenes import scene  # noqa: E402

with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
    scene(7, "building").image(64).save(Path("me.png"))
    codes = {}
    for words in (
        ["invert", "image=me.png", "steps=2", "method=ddim"],
        ["extract", "image=me.png"],
    ):
        with contextlib.redirect_stdout(io.StringIO()):
            codes[words[0]] = main(words)
    print("exit codes:", codes)
    sys.exit(1 if codes["extract"] else 0)
