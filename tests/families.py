"""Every family of backbones with random weights, real in shape and small enough for tests."""

from reduced import reduced_configs

from featurekit.backbones import load
from featurekit.backbones.unet import sd, sdxl

EVERY = {
    "embedded": lambda: load("embedded", "cpu"),
    "random": lambda: load("random", "cpu"),
    "sd15": lambda: sd.build("sd15", reduced_configs("sd15"), device="cpu"),
    "sd21": lambda: sd.build("sd21", reduced_configs("sd21"), device="cpu"),
    "sdxl": lambda: sdxl.build("sdxl", reduced_configs("sdxl"), device="cpu"),
}
