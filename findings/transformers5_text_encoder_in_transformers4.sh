#!/usr/bin/env bash
# A CLIP text encoder saved by transformers 5 is read by transformers 4 with random weights and a warning.
#
# Versions: transformers 5.23.0 writes, transformers 4.57.3 reads; torch 2.14.1.
# Valid input: CLIPTextModel.save_pretrained of a small random model.
# Expected: the older version reads the weights, or refuses the file. diffusers pipelines of either generation
#   read one layout of folders, so such folders travel between them.
# Seen: transformers 5 dropped the prefix `text_model.` from every name in the file. transformers 4 finds none of
#   its names, starts all of them at random and says so in a warning; from_pretrained returns a model.
# Output:
#   written by 5.23.0: 36 names, 0 with the prefix text_model.
#   read by 4.57.3: a model, 0 of 14 weights that are no constants equal, largest difference 0.9
#   Some weights of CLIPTextModel were not initialized
# Exits with 0 while this is so, with 1 where it changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/new"; python3 -m venv "$work/old"
"$work/new/bin/pip" -q install torch==2.14.1 numpy transformers==5.23.0
# the older reader takes torch from the first environment, whatever else it needs is its own
"$work/old/bin/pip" -q install transformers==4.57.3 numpy
site=$(echo "$work"/new/lib/python3*/site-packages)
mkdir "$work/torch"
for part in torch torchgen functorch nvidia triton sympy mpmath networkx jinja2 markupsafe; do
  [ -e "$site/$part" ] && ln -s "$site/$part" "$work/torch/$part"
done
for info in "$site"/torch-*.dist-info; do ln -s "$info" "$work/torch/"; done
cat > "$work/write.py" <<'PY'
import sys, torch, transformers
from safetensors import safe_open
torch.manual_seed(0)
config = transformers.CLIPTextConfig(vocab_size=99, hidden_size=32, intermediate_size=37, num_hidden_layers=2,
                                     num_attention_heads=4, max_position_embeddings=20)
transformers.CLIPTextModel(config).save_pretrained(sys.argv[1])
with safe_open(f"{sys.argv[1]}/model.safetensors", "pt") as file:
    names = list(file.keys())
prefixed = sum(name.startswith("text_model.") for name in names)
print(f"written by {transformers.__version__}: {len(names)} names, {prefixed} with the prefix text_model.")
PY
cat > "$work/read.py" <<'PY'
import sys, torch, transformers
from safetensors.torch import load_file
kept = load_file(f"{sys.argv[1]}/model.safetensors")
model = transformers.CLIPTextModel.from_pretrained(sys.argv[1])
found = {name.removeprefix("text_model."): value for name, value in model.state_dict().items()}
equal = sum(torch.equal(found[name], value) for name, value in kept.items() if value.std() > 0)
varied = sum(bool(value.std() > 0) for value in kept.values())
largest = max(float((found[name] - value).abs().max()) for name, value in kept.items())
print(f"read by {transformers.__version__}: a model, {equal} of {varied} weights that are no constants equal, "
      f"largest difference {largest:.2f}")
sys.exit(0 if equal == 0 and varied > 0 else 1)
PY
"$work/new/bin/python" "$work/write.py" "$work/text_encoder"
PYTHONPATH="$work/torch" "$work/old/bin/python" "$work/read.py" "$work/text_encoder" 2> "$work/said" || {
  cat "$work/said"; echo "changed: weights are read, or the file is refused"; exit 1; }
grep -o "Some weights of CLIPTextModel were not initialized" "$work/said" | head -n 1
