#!/usr/bin/env bash
# The flow scheduler that Qwen-Image is published with gives NaN as its only level when it is asked for one step.
#
# Versions: diffusers 0.42.1, PyTorch 2.14.1 (CPU).
# Valid input: FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.02), set_timesteps(sigmas=[1.0], mu=0.8),
#   which is what the stock pipeline passes for num_inference_steps=1, as distilled models are run.
# Expected: one step from sigma 1 to 0, as the same scheduler without shift_terminal gives, or an error.
# Seen: sigma and timestep are NaN, without a warning: stretching the levels to the terminal one divides by one minus the last
#   level, which with a single step is the first and 1. Two steps are fine.
# Exits with 0 while this is so, with 1 where it changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q install torch==2.14.1 diffusers==0.42.1 numpy==2.4.0
cat > "$work/look.py" <<'PY'
import sys

import diffusers
import numpy as np
import torch

found = {}
for terminal in (None, 0.02):
    for steps in (1, 2):
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=terminal)
        with np.errstate(all="ignore"):
            scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=0.8)
        found[terminal, steps] = [float(sigma) for sigma in scheduler.sigmas]
print("diffusers", diffusers.__version__, "torch", torch.__version__)
for (terminal, steps), sigmas in found.items():
    print(f"shift_terminal={terminal}, {steps} step(s): sigmas {sigmas}")
broken = {key for key, sigmas in found.items() if not np.isfinite(sigmas).all()}
sys.exit(broken != {(0.02, 1)})
PY
"$work/env/bin/python" "$work/look.py"
