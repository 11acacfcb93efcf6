#!/usr/bin/env bash
# A transformer of FLUX with one block skipped by diffusers' layer skipping answers with the text's tokens in place of the picture's.
#
# Versions: diffusers 0.42.1, PyTorch 2.14.1 (CPU).
# Valid input: a FluxTransformer2DModel in evaluation mode, apply_layer_skip with one index of transformer_blocks or of
#   single_transformer_blocks, attention and feed-forward skipped together, 12 tokens of a picture and 5 of a text.
# Expected: what the same network answers without that block, 12 tokens.
# Seen: 5 tokens. A skipped block hands on what it was given as picture, text; blocks of FLUX return text, picture, so that
#   all that comes after takes one for the other. With as many tokens of both the shape would not show it.
# Exits with 0 while this is so, with 1 where it changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q install torch==2.14.1 diffusers==0.42.1 transformers==5.23.0 numpy==2.4.0
cat > "$work/look.py" <<'PY'
import copy
import sys

import diffusers
import torch
from diffusers.hooks import LayerSkipConfig, apply_layer_skip

torch.manual_seed(0)
network = diffusers.FluxTransformer2DModel(
    patch_size=1, in_channels=4, num_layers=2, num_single_layers=3, attention_head_dim=16, num_attention_heads=2,
    joint_attention_dim=8, pooled_projection_dim=8, axes_dims_rope=(4, 4, 8), guidance_embeds=False,
).eval()
text, cells = 5, 12
given = {
    "hidden_states": torch.randn(1, cells, 4), "encoder_hidden_states": torch.randn(1, text, 8),
    "pooled_projections": torch.randn(1, 8), "timestep": torch.tensor([0.3]),
    "img_ids": torch.rand(cells, 3).round(), "txt_ids": torch.zeros(text, 3), "return_dict": False,
}
print("diffusers", diffusers.__version__, "torch", torch.__version__)
found = {}
for blocks in ("transformer_blocks", "single_transformer_blocks"):
    without, skipped = copy.deepcopy(network), copy.deepcopy(network)
    del getattr(without, blocks)[1]
    apply_layer_skip(skipped, LayerSkipConfig([1], fqn=blocks, skip_attention=True, skip_attention_scores=False, skip_ff=True))
    with torch.no_grad():
        wanted, got = without(**given)[0], skipped(**given)[0]
    print(f"{blocks}: without the block {tuple(wanted.shape)}, with it skipped {tuple(got.shape)}")
    found[blocks] = got.shape[1]
sys.exit(found != {"transformer_blocks": text, "single_transformer_blocks": text})
PY
"$work/env/bin/python" "$work/look.py"
