#!/usr/bin/env bash
# The same tensors with the same metadata, saved twice by safetensors, are two different files.
#
# Versions: safetensors 0.8.0, NumPy 2.4.0.
# Valid input: one array and four words of metadata, given in the same order to safetensors.numpy.save, 40 times.
# Expected: equal bytes each time, as without metadata or with a single word; a file's hash then says whether two runs agree.
# Seen: the words of the metadata stand in the header in an order of chance, which changes from call to call within one process:
#   40 calls give about 20 of the 24 possible files. Tensors come in an order of their own, which is always the same.
# Exits with 0 while this is so, with 1 where it changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q install safetensors==0.8.0 numpy==2.4.0
cat > "$work/look.py" <<'PY'
import json
import sys

import numpy as np
import safetensors
from safetensors.numpy import save

tensors = {"b": np.zeros(2, np.float32), "a": np.ones(3, np.float32)}
words = {"format": "pt", "kind": "style", "name": "brush", "step": "3"}


def saved(metadata):
    return [save(tensors, metadata) for _ in range(40)]


counts = {name: len(set(saved(given))) for name, given in
          {"none": None, "one word": {"format": "pt"}, "four words": words}.items()}
headers = [json.loads(one[8 : 8 + int.from_bytes(one[:8], "little")]) for one in saved(words)]
print("safetensors", safetensors.__version__, "- different files of 40 equal calls:", counts)
print("orders of the words:", sorted({" ".join(one["__metadata__"]) for one in headers})[:3], "...")
alike = {json.dumps(one["__metadata__"], sort_keys=True) for one in headers}
assert len(alike) == 1, "the words themselves must be the same"
sys.exit(not (counts["none"] == counts["one word"] == 1 and counts["four words"] > 1))
PY
"$work/env/bin/python" "$work/look.py"
