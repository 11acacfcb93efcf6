"""The embedded model seen as a flow: the same network by an exact change of variables."""

from dataclasses import replace
from functools import cache

from featurekit.backbones import load
from featurekit.diffusion.backbone import Predictor
from featurekit.diffusion.flow_schedule import FlowSchedule
from featurekit.diffusion.flow_table import FlowTable
from featurekit.diffusion.noise_schedule import Schedule


@cache
def embedded():
    return load("embedded", device="cpu", dtype="float32")


def sigma_of(alpha_bar):
    """Share of noise of a latent that is divided by the sum of both of its amplitudes."""
    signal, noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    return noise / (signal + noise)


class AsFlow:
    """A diffusion model that answers velocities of ``(1 - s) x0 + s eps``, and is told s."""

    def __init__(self, backbone, shift=1.0):
        self._backbone = backbone
        self.noise = FlowTable(shift=shift)
        self._sigmas = sigma_of(backbone.noise.alpha_bars)

    def __getattr__(self, name):
        return getattr(self._backbone, name)

    def predictor(self, conditioning, guidance=1.0):
        eps_of = self._backbone.predictor(conditioning, guidance)

        def velocity(z, t):
            s = self.noise.level(t)
            t = int((self._sigmas - s).abs().argmin())  # whole ones are those of its training
            alpha_bar = self._backbone.noise.alpha_bars[t]
            eps = eps_of(z * (alpha_bar.sqrt() + (1 - alpha_bar).sqrt()), t)
            return (eps - z) / (1 - s)

        return Predictor(velocity, lambda: "as a flow")


def levels_of(backbone, steps):
    """A run of DDIM, and the run of the flow with as much noise at each level."""
    ddim = Schedule.ddim(replace(backbone.noise, final_alpha_bar=1.0), steps)
    sigmas = sigma_of(ddim.alpha_bars)
    return ddim, FlowSchedule(tuple((1000 * sigmas[1:]).flip(0).tolist()), sigmas)
