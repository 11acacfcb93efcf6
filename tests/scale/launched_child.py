"""A worker that takes its share from what its launcher says: of the samples of ``small_features``.

``python launched_child.py FOLDER`` leaves ``FOLDER.<index>-of-<count>`` with how many it stored.
"""

import os
import sys
from pathlib import Path

import small_features

from featurekit.core.sharding import launched_share
from featurekit.core.types import silent


def work(folder):
    share = launched_share(os.environ)
    stored = small_features.stored(folder, share, silent)
    Path(f"{folder}.{share.index}-of-{share.count}").write_text(str(stored))


if __name__ == "__main__":
    work(sys.argv[1])
