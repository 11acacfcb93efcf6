#!/usr/bin/env bash
# Chroma's transformer forgets its attention mask in the single blocks as soon as gradient checkpointing is on.
#
# Versions: diffusers 0.42.1, PyTorch 2.14.1 (CPU), transformers 5.23.0.
# Valid input: a ChromaTransformer2DModel in evaluation mode, a mask of text of which the last two tokens are padding, a gradient
#   that is wanted of the latents.
# Expected: checkpointing saves memory and changes no number, as in FLUX's transformer, which has the same blocks.
# Seen: with a mask the answer is another one (by a hundredth of its norm here); without a mask it is the same to the bit. No
#   warning is given, so what is learnt with checkpointing is not what is sampled without.
# Exits with 0 while this is so, with 1 where it changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q install torch==2.14.1 diffusers==0.42.1 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.0
cat > "$work/look.py" <<'PY'
import sys

import diffusers
import torch

torch.manual_seed(0)
network = diffusers.ChromaTransformer2DModel(
    in_channels=64, num_layers=1, num_single_layers=2, attention_head_dim=8, num_attention_heads=2,
    joint_attention_dim=12, axes_dims_rope=(2, 2, 4), approximator_num_channels=64,
    approximator_hidden_dim=16, approximator_layers=1,
).eval()
text, rows, columns = 5, 3, 4
ids = torch.stack(torch.meshgrid(torch.arange(1), torch.arange(rows), torch.arange(columns), indexing="ij"), -1)
given = {
    "encoder_hidden_states": torch.randn(1, text, 12), "timestep": torch.tensor([0.3]),
    "img_ids": ids.reshape(-1, 3).float(), "txt_ids": torch.zeros(text, 3), "return_dict": False,
}
tokens = torch.randn(1, rows * columns, 64)
some = torch.ones(1, text + rows * columns)
some[:, text - 2 : text] = 0


def answer(mask, checkpointed):
    (network.enable_gradient_checkpointing if checkpointed else network.disable_gradient_checkpointing)()
    z = tokens.clone().requires_grad_()
    return network(hidden_states=z, attention_mask=mask, **given)[0].detach()


changed = {}
for name, mask in (("without a mask", None), ("with a mask", some)):
    plain = answer(mask, False)
    changed[name] = float((answer(mask, True) - plain).norm() / plain.norm())
print("diffusers", diffusers.__version__, "torch", torch.__version__)
for name, share in changed.items():
    print(f"{name}: checkpointing changes the answer by {share:.3f} of its norm")
sys.exit(not (changed["without a mask"] == 0 and changed["with a mask"] > 0.001))
PY
"$work/env/bin/python" "$work/look.py"
