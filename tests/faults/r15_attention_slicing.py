"""With diffusers' attention slicing on, for little memory or on a Mac, drag ends in a TypeError.

Expected: shared attention works with every processor of diffusers that reads other states, or
refuses this one in a sentence.
Seen: SlicedAttnProcessor.__call__() got an unexpected keyword argument 'temb', after LoRA,
inversion and all updates are done. share_attention, record_attention and replay_attention
alike; capture, extract and attention_maps work.
"""

import sys

import torch

import featurekit as fk
from featurekit.taps.attention_sharing import self_attention_paths, share_attention

backbone = fk.load_backbone("embedded")
backbone.unet.set_attention_slice("auto")  # what pipe.enable_attention_slicing() does
predict, z = backbone.predictor(backbone.embed("a house")), torch.randn(2, 8, 16, 16)
with torch.no_grad():
    print("plain:", tuple(predict(z, 261).shape))
    try:
        with share_attention(backbone.unet, self_attention_paths(backbone.unet, ["up_blocks.2"])):
            print("shared:", tuple(predict(z, 261).shape))
    except fk.errors.FeatureKitError as error:
        print("refused, as it should be:", error)
    except TypeError as error:
        print("seen:", error)
        sys.exit(1)
