"""The text of a third party's plugin, from which ``conftest.third_party`` makes distributions."""

SPEC = """
    from dataclasses import dataclass
    from omegaconf import II
    from featurekit.plugin import Plugin, PluginConfig

    @dataclass
    class Config(PluginConfig):
        name: str = "blur"
        radius: float = 1.0
        updates: int = II("backbone.lora.steps")

    PLUGIN = Plugin(
        name="blur",
        summary="smears a picture",
        api_version=1,
        schema=Config,
        tasks=("smear", "refuse", "crash", "wait", "fill"),
        target="{package}.pipeline:run",
        presets="pkg://{package}.conf",
        benches={{"blur-speed": "{package}.pipeline:bench"}},
        commands={{"blur-look": "{package}.pipeline:bench"}},
    )
"""

PIPELINE = """
    import time
    import sys
    import torch
    from featurekit.plugin import PointsError, Result, write_image, write_tensors

    def run(job):
        with job.stage(job.task) as progress:
            if job.task == "refuse":
                raise PointsError("a handle must lie inside, got (9, 9)")
            if job.task == "crash":
                raise RuntimeError("a mistake of ours")
            if job.task == "wait":
                (job.out / "waiting").touch()
                time.sleep(60)
            if job.task == "fill":
                write_tensors({{"big": torch.zeros(1 << 20)}}, job.out / "big.safetensors")
            progress(1, 1)
        level = torch.tensor(job.settings.radius / 10)
        path = write_image(torch.full((1, 3, 16, 16), float(level)), job.out / "smear.png")
        metrics = {{"radius": level, "worst": float("nan")}}
        return Result("smeared", metrics, {{"smear": path}}, "all went well")

    def bench(words):
        sys.stdout.write(f"bench {{words}}\\n")
        return len(words)
"""

ON_SD = """
    # @package plugin
    radius: 4.0
"""

FAST = """
    # @package _global_
    defaults:
      - override /plugin: blur
    plugin: {radius: 9.0}
"""
