"""Stable Diffusion's configs, narrow: the same blocks, fast enough for tests."""

from featurekit.backbones.folder import bundled_configs, embedded_folder, read_config

WORDS = read_config(embedded_folder(), "text_encoder")  # its tokenizer is the reduced models' too

UNET = {"block_out_channels": [16, 32, 64, 64], "norm_num_groups": 8, "cross_attention_dim": 32}
VAE = {"block_out_channels": [8, 8, 16, 16], "norm_num_groups": 4}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    **{
        name: WORDS[name] for name in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")
    },
}


def reduced_configs(name):
    """Configs of ``sd15`` or ``sd21`` by part, narrow."""
    configs = bundled_configs(name)
    heads = {"sd15": 4, "sd21": [1, 2, 4, 4]}[name]
    return configs | {
        "unet": configs["unet"] | UNET | {"attention_head_dim": heads},
        "vae": configs["vae"] | VAE,
        "text_encoder": configs["text_encoder"] | TEXT,
    }
