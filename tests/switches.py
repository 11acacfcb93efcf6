"""Every switch that diffusers and transformers offer on a network, and how a test turns it on.

A new release's new switch is in no list here, so that ``tests/taps/test_switches.py`` fails until
somebody has looked at it.
"""

import re

import torch
from accelerate import cpu_offload
from diffusers import FasterCacheConfig, PyramidAttentionBroadcastConfig
from diffusers.hooks import (
    apply_faster_cache,
    apply_layer_skip,
    apply_pyramid_attention_broadcast,
)
from diffusers.hooks.layer_skip import LayerSkipConfig
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig
from torch import nn

MIXED = {"storage_dtype": torch.float8_e4m3fn, "compute_dtype": torch.float32}
CPU = {"onload_device": torch.device("cpu"), "offload_device": torch.device("cpu")}
RANGES = {
    "spatial_attention_block_skip_range": 2,
    "spatial_attention_timestep_skip_range": (0, 1000),
}


def offered(cls):
    """Names of the methods that turn something on, those that every torch module has left out."""
    turns_on = re.compile(r"(enable|set|fuse|compile)(_|$)|[^_].*_enable$")
    own = {name for name in dir(cls) if turns_on.match(name) and callable(getattr(cls, name))}
    return (own - set(dir(nn.Module))) | {"compile"}


def adapted(network):
    """Put a LoRA of peft's on the first self-attention of the way up, with weights of its own."""
    path = "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    network.add_adapter(LoraConfig(r=2, target_modules=[path]))
    layer = network.get_submodule(path)
    for half in (layer.lora_A, layer.lora_B):
        weight = half["default"].weight
        nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
    return network.requires_grad_(False)


def _cached(network):
    apply_pyramid_attention_broadcast(
        network,
        PyramidAttentionBroadcastConfig(**RANGES, current_timestep_callback=lambda: 261),
    )


def _faster(network):
    config = FasterCacheConfig(**RANGES, current_timestep_callback=lambda: 261)
    config.is_guidance_distilled = True
    apply_faster_cache(network, config)


def _skipping(network):
    apply_layer_skip(network, LayerSkipConfig([0], fqn="mid_block.attentions.0.transformer_blocks"))


UNET = {  # what a test can turn on here, by the method or the function that does it
    "nothing": lambda unet: None,
    "enable_freeu": lambda unet: unet.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6),
    "enable_gradient_checkpointing": lambda unet: unet.enable_gradient_checkpointing(),
    "enable_group_offload": lambda unet: unet.enable_group_offload(
        **CPU, offload_type="leaf_level"
    ),
    "enable_group_offload, blocks": lambda unet: unet.enable_group_offload(
        **CPU, num_blocks_per_group=1
    ),
    "enable_layerwise_casting": lambda unet: unet.enable_layerwise_casting(**MIXED),
    "fuse_qkv_projections": lambda unet: unet.fuse_qkv_projections(),
    "unfuse_qkv_projections": lambda unet: (
        unet.fuse_qkv_projections(),
        unet.unfuse_qkv_projections(),
    ),
    "set_attention_backend": lambda unet: unet.set_attention_backend("native"),
    "set_attention_slice": lambda unet: unet.set_attention_slice("auto"),
    "set_attn_processor": lambda unet: unet.set_attn_processor(AttnProcessor()),
    "set_default_attn_processor": lambda unet: unet.set_default_attn_processor(),
    "set_adapter": adapted,
    "fuse_lora": lambda unet: (adapted(unet).fuse_lora(), unet.unload_lora()),
    "compile": lambda unet: unet.compile(backend="eager"),
    "compile, a block": lambda unet: unet.mid_block.compile(backend="eager"),
    "cpu_offload, a block": lambda unet: cpu_offload(  # of all it takes seconds a forward
        unet.mid_block, execution_device=torch.device("cpu")
    ),
    "apply_pyramid_attention_broadcast": _cached,
    "apply_faster_cache": _faster,
    "apply_layer_skip": _skipping,
}
VAE = {
    name: UNET[name]
    for name in (
        "nothing",
        "enable_gradient_checkpointing",
        "enable_group_offload",
        "enable_layerwise_casting",
        "set_attention_backend",
        "set_attn_processor",
        "set_default_attn_processor",
    )
} | {
    "enable_slicing": lambda vae: vae.enable_slicing(),
    "enable_tiling": lambda vae: vae.enable_tiling(),
    "fuse_qkv_projections": lambda vae: vae.fuse_qkv_projections(),
    "compile": lambda vae: vae.compile(backend="eager"),
}
TEXT = {
    "nothing": lambda text: None,
    "activation_checkpointing_enable": lambda text: text.train().activation_checkpointing_enable(),
    "set_attn_implementation": lambda text: text.set_attn_implementation("eager"),
    "enable_input_require_grads": lambda text: text.enable_input_require_grads(),
    "compile": lambda text: text.compile(backend="eager"),
    "cpu_offload": lambda text: cpu_offload(text, execution_device=torch.device("cpu")),
}
_PEFT = ("enable_adapters", "enable_lora", "enable_lora_hotswap", "set_adapters", "set_adapter",
         "fuse_lora")  # fmt: skip
_MISSING = ("enable_npu_flash_attention", "set_use_npu_flash_attention",
            "enable_xla_flash_attention", "set_use_xla_flash_attention",
            "enable_xformers_memory_efficient_attention",
            "set_use_memory_efficient_attention_xformers", "enable_parallelism")  # fmt: skip
ELSEWHERE = (  # by what they are, and why no test turns them on
    dict.fromkeys(_PEFT, "which adapter of peft's is on: set_adapter and fuse_lora of the UNet")
    | dict.fromkeys(_MISSING, "needs hardware or a library that the tests do not have")
    | {
        "compile_repeated_blocks": "compile of blocks; neither network names any",
        "enable_peft_hotswap": "how peft's adapters are loaded",
        "gradient_checkpointing_enable": "the old name of activation_checkpointing_enable",
        "set_input_embeddings": "another module, as setting an attribute",
        "set_output_embeddings": "another module, as setting an attribute",
        "set_decoder": "another module, as setting an attribute",
        "set_encoder": "another module, as setting an attribute",
        "set_experts_implementation": "of mixtures of experts",
        "set_use_kernels": "fetches kernels from the network",
    }
)
HOOKS = {  # functions of diffusers.hooks: the switch above that turns it on, or why none does
    "apply_context_parallel": "needs several processes",
    "apply_tensor_parallel": "needs several processes",
    "apply_group_offloading": "enable_group_offload",
    "apply_layerwise_casting": "enable_layerwise_casting",
    "apply_layerwise_casting_hook": "enable_layerwise_casting",
    "apply_pyramid_attention_broadcast": "apply_pyramid_attention_broadcast",
    "apply_faster_cache": "apply_faster_cache",
    "apply_layer_skip": "apply_layer_skip",
    "apply_first_block_cache": "of blocks that no UNet has; in no list of harmless ones",
    "apply_mag_cache": "of blocks that no UNet has; in no list of harmless ones",
    "apply_sea_cache": "of blocks that no UNet has; in no list of harmless ones",
    "apply_taylorseer_cache": "of blocks that no UNet has; in no list of harmless ones",
    "apply_text_kv_cache": "of blocks that no UNet has; in no list of harmless ones",
}
