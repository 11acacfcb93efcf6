"""Models in one file, as the first releases laid them out: diffusers' conversion turned round."""

import re

import torch
from reduced import reduced_configs
from safetensors.torch import save_file

from featurekit.backbones.unet import sd, sdxl

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "time_embedding.cond_proj": "time_embed.cond_proj",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.": "ln_final.",
    "encoder.layers.": "transformer.resblocks.",
    ".self_attn.out_proj": ".attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
WHOLE_WORDS = {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407}


def unet_name(name, config):
    """Name of a weight of a UNet as the first releases had it, with its prefix."""
    return "model.diffusion_model." + _unet_name(name, config)


def _unet_name(name, config):
    stem, _, end = name.rpartition(".")
    if stem in _UNET:
        return f"{_UNET[stem]}.{end}"
    per_block = config["layers_per_block"] + 1
    if match := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        kind, i, rest = match.groups()
        at = 1 if kind == "attentions" else 2 * int(i)
        return f"middle_block.{at}.{_inner(kind, rest)}"
    side, block, kind, layer, rest = re.fullmatch(
        r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name
    ).groups()
    first = int(block) * per_block
    if kind == "downsamplers":
        return f"input_blocks.{first + per_block}.0.op.{end}"
    if kind == "upsamplers":
        attends = config["up_block_types"][int(block)].startswith("CrossAttn")
        return f"output_blocks.{first + per_block - 1}.{2 if attends else 1}.conv.{end}"
    blocks, at = ("input", first + int(layer) + 1) if side == "down" else ("output", None)
    at = first + int(layer) if at is None else at
    return f"{blocks}_blocks.{at}.{int(kind == 'attentions')}.{_inner(kind, rest)}"


def _inner(kind, rest):
    if kind == "attentions":
        return rest
    part, _, end = rest.partition(".")
    return f"{_RESNET[part]}.{end}"


def vae_weights(network):
    """Weights of an autoencoder under the names of the first releases, without a prefix."""
    levels = len(network.config.block_out_channels)
    found = {}
    for name, weight in network.state_dict().items():
        old = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        old = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", old)
        old = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", old)
        old = re.sub(
            r"up_blocks\.(\d+)\.(resnets|upsamplers)\.",
            lambda m: f"up.{levels - 1 - int(m[1])}.{m[2]}.",
            old,
        )
        old = old.replace(".resnets.", ".block.").replace(".upsamplers.0.", ".upsample.")
        old = re.sub(r"mid_block\.block\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", old)
        if "mid_block.attentions.0." in old:
            for new, own in _ATTENTION.items():
                old = old.replace(f"mid_block.attentions.0.{new}.", f"mid.attn_1.{own}.")
            weight = weight[:, :, None, None] if weight.ndim == 2 else weight
        found[old] = weight
    return found


def open_clip_weights(network, prefix):
    """Weights of a text encoder as open_clip has them: projections fused, the last transposed."""
    found, apart = {}, {}
    for full, weight in network.state_dict().items():
        name = full.removeprefix("text_model.")
        if match := re.fullmatch(r"(.*)\.self_attn\.([qkv])_proj\.(weight|bias)", name):
            layer, which, end = match.groups()
            layer = layer.replace("encoder.layers.", "transformer.resblocks.")
            apart.setdefault(f"{layer}.attn.in_proj_{end}", {})[which] = weight
            continue
        if name == "text_projection.weight":
            found[f"{prefix}text_projection"] = weight.T
            continue
        for new, old in _OPEN_CLIP.items():
            name = name.replace(new, old)
        found[prefix + name] = weight
    fused = {prefix + name: torch.cat([p[w] for w in "qkv"]) for name, p in apart.items()}
    return {**found, **fused}


def clip_weights(network, prefix):
    """Weights of a text encoder under OpenAI's names."""
    state = network.state_dict().items()
    return {f"{prefix}text_model.{name.removeprefix('text_model.')}": one for name, one in state}


def single_file_weights(model, family):
    """Every weight of a model under the name that it has in one file."""
    config = model.unet.config
    found = {unet_name(name, config): one for name, one in model.unet.state_dict().items()}
    found |= {f"first_stage_model.{name}": one for name, one in vae_weights(model.vae).items()}
    if family == "sd15":
        return found | clip_weights(model.text_encoder, "cond_stage_model.transformer.")
    if family == "sd21":
        return found | open_clip_weights(model.text_encoder, "cond_stage_model.model.")
    found |= clip_weights(model.text_encoder, "conditioner.embedders.0.transformer.")
    return found | open_clip_weights(model.text_encoder_2, "conditioner.embedders.1.model.")


def whole_word_configs(family):
    """Reduced configs with CLIP's whole vocabulary, and another width of words for each family."""
    configs = reduced_configs(family)
    text = {**configs["text_encoder"], **WHOLE_WORDS}
    if family == "sd21":  # the layer after the last is in a file and is not read
        text |= {"hidden_size": 40, "num_hidden_layers": 23}
        configs["unet"] = {**configs["unet"], "cross_attention_dim": 40}
    configs["text_encoder"] = text
    if family == "sdxl":
        configs["text_encoder_2"] = {**configs["text_encoder_2"], **WHOLE_WORDS}
    return configs


def built(family, *, seed=3, **unet):
    """A narrow model of a family with CLIP's whole vocabulary."""
    configs = whole_word_configs(family)
    configs["unet"] = {**configs["unet"], **unet}
    build = sdxl.build if family == "sdxl" else sd.build
    return build(family, configs, device="cpu", dtype="float32", seed=seed)


def with_leftovers(weights, family):
    """What else the published files hold: a layer that is not read, tables, positions."""
    more = {"betas": torch.zeros(4), "alphas_cumprod": torch.zeros(4)}
    if family == "sd15":
        more["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)
    if family == "sd21":
        layer = "cond_stage_model.model.transformer.resblocks."
        more |= {
            name.replace(f"{layer}22.", f"{layer}23."): torch.zeros_like(one)
            for name, one in weights.items()
            if name.startswith(f"{layer}22.")
        }
        more["cond_stage_model.model.text_projection"] = torch.zeros(40, 40)
        more["cond_stage_model.model.logit_scale"] = torch.tensor(1.0)
    if family == "sdxl":
        more["conditioner.embedders.1.model.logit_scale"] = torch.tensor(1.0)
    return {**weights, **more}


def write_single_file(path, weights, dtype=None, **words):
    """Write weights as one file."""
    cast = (
        (lambda one: one.to(dtype) if one.is_floating_point() else one) if dtype else (lambda a: a)
    )
    tensors = {name: cast(one).clone().contiguous() for name, one in weights.items()}
    save_file(tensors, path, metadata={"format": "pt", **words})
    return path
