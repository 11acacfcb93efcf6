"""Schedulers of flow-matching families as they are published, and how stock pipelines ask them."""

import numpy as np
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.cogview4.pipeline_cogview4 import calculate_shift as root_shift
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu

from featurekit.diffusion.flow_schedule import FlowSchedule
from featurekit.diffusion.flow_table import FlowTable

SOLVER = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
QWEN = {"base_shift": 0.5, "max_shift": 0.9, "max_image_seq_len": 8192, "shift_terminal": 0.02}
COGVIEW = {"base_shift": 0.25, "max_shift": 0.75, "time_shift_type": "linear"}
DYNAMIC = {"use_dynamic_shifting": True}

EULER = FlowMatchEulerDiscreteScheduler
MADE = {
    "sd3": lambda: EULER(shift=3.0),
    "flux": lambda: EULER(shift=3.0, **DYNAMIC),
    "flux2": lambda: EULER(shift=3.0, **DYNAMIC),
    "sana": lambda: DPMSolverMultistepScheduler(flow_shift=3.0, **SOLVER),
    "lumina2": lambda: EULER(shift=6.0),
    "qwen_image": lambda: EULER(**DYNAMIC, **QWEN),
    "z_image": lambda: EULER(shift=3.0),
    "chroma": lambda: EULER(**DYNAMIC),
    "auraflow": lambda: EULER(shift=1.73),
    "cogview4": lambda: EULER(**DYNAMIC, **COGVIEW),
    "hunyuan_image": lambda: EULER(shift=5.0),
}
OWN = ("sd3", "auraflow", "sana")  # pass no sigmas


def asked(family, scheduler, steps, tokens):
    """The call of ``set_timesteps`` that the family's pipeline makes, by its own functions."""
    if family in OWN:
        return {"num_inference_steps": steps}
    config = scheduler.config
    ends = (config.base_shift, config.max_shift)
    mu = calculate_shift(tokens, config.base_image_seq_len, config.max_image_seq_len, *ends)
    if family == "hunyuan_image":
        return {"sigmas": np.linspace(1.0, 0.0, steps + 1)[:-1]}
    if family == "flux2":
        mu = compute_empirical_mu(image_seq_len=tokens, num_steps=steps)
    if family == "cogview4":
        whole = np.linspace(config.num_train_timesteps, 1.0, steps).astype(np.int64)
        told = whole.astype(np.float32)
        mu = root_shift(tokens, config.base_image_seq_len, *ends)
        return {"timesteps": told, "sigmas": told / config.num_train_timesteps, "mu": mu}
    return {"sigmas": np.linspace(1.0, 1 / steps, steps), "mu": mu}


def table(family, **more):
    return FlowTable.from_scheduler(MADE[family](), family=family, **more)


def schedule(family, steps, tokens=1024):
    found = table(family)
    return FlowSchedule.euler(found, steps, tokens=tokens if found.dynamic else None)
