#!/usr/bin/env bash
# Two float16 tensors cannot be joined inside CPU autocast to bfloat16, nor a float16 with a bfloat16 one inside either autocast.
#
# Versions: PyTorch 2.14.1 (CPU), NumPy 2.4.0.
# Valid input: torch.cat and torch.stack of two float16 tensors of one shape, as for maps that were kept in half precision.
# Expected: as outside autocast, and as for einsum inside it: a tensor of float16, or of the lower precision that was asked for.
# Seen: RuntimeError from at::autocast::prioritize about a floating type that it does not expect; inside autocast to float16
#   the same two join. Joining before the block, or in float32, is the way round.
# Exits with 0 while this is so, with 1 where it changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q install torch==2.14.1 numpy==2.4.0
cat > "$work/look.py" <<'PY'
import sys

import torch

half, lower = torch.ones(2, dtype=torch.float16), torch.ones(2, dtype=torch.bfloat16)
calls = {
    "cat of two halves": lambda: torch.cat([half, half]),
    "stack of two halves": lambda: torch.stack([half, half]),
    "cat of bfloat16 and half": lambda: torch.cat([lower, half]),
    "einsum of two halves": lambda: torch.einsum("i,i->", half, half),
}
found = {}
for precision in (None, torch.bfloat16, torch.float16):
    for name, call in calls.items():
        if precision is None and name.startswith("einsum"):
            continue
        try:
            with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None):
                found[str(precision), name] = str(call().dtype)
        except RuntimeError as error:
            found[str(precision), name] = f"RuntimeError: {str(error).splitlines()[0]}"
print("torch", torch.__version__)
for (precision, name), value in found.items():
    print(f"autocast to {precision}: {name}: {value}")
raised = {key for key, value in found.items() if value.startswith("RuntimeError")}
wanted = {
    ("torch.bfloat16", "cat of two halves"),
    ("torch.bfloat16", "stack of two halves"),
    ("torch.bfloat16", "cat of bfloat16 and half"),
    ("torch.float16", "cat of bfloat16 and half"),
}
sys.exit(raised != wanted)
PY
"$work/env/bin/python" "$work/look.py"
