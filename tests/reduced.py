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


SECOND = {"hidden_size": 48, "num_attention_heads": 6, "projection_dim": 40}
XL = {  # transformers as deep as the real ones would be half of a test's time
    "block_out_channels": [16, 32, 64],
    "norm_num_groups": 8,
    "attention_head_dim": [1, 2, 4],
    "transformer_layers_per_block": [1, 2, 3],
    "cross_attention_dim": 32 + 48,
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 40 + 6 * 8,
}


def reduced_configs(name):
    """Configs of ``sd15``, ``sd21`` or ``sdxl`` by part, narrow."""
    configs = bundled_configs(name)
    if name == "sdxl":
        return configs | {
            "unet": configs["unet"] | XL,
            "vae": configs["vae"] | VAE,
            "text_encoder": configs["text_encoder"] | TEXT,
            "text_encoder_2": configs["text_encoder_2"] | TEXT | SECOND,
        }
    heads = {"sd15": 4, "sd21": [1, 2, 4, 4]}[name]
    return configs | {
        "unet": configs["unet"] | UNET | {"attention_head_dim": heads},
        "vae": configs["vae"] | VAE,
        "text_encoder": configs["text_encoder"] | TEXT,
    }
