"""What can be refused of a sketch before the weights of a backbone are loaded."""

from featurekit.core.types import Job
from featurekit_sketch.config import SketchConfig
from featurekit_sketch.config import check as check_settings
from featurekit_sketch.distillation.export import check_exporter
from featurekit_sketch.inputs import own_lessons
from featurekit_sketch.sampling.prior import read_prior
from featurekit_sketch.tasks.distil import check_places as check_distil_places
from featurekit_sketch.tasks.evaluate_dataset import check_dataset
from featurekit_sketch.tasks.extract import check_given
from featurekit_sketch.tasks.models import check_source
from featurekit_sketch.tasks.teaching import style_of
from featurekit_sketch.tasks.train import check_places, read_targets
from featurekit_sketch.tasks.unused_settings import check_used


def needs_backbone(job: Job) -> bool:
    """Whether this process looks at a model: a student draws without, workers load their own."""
    return job.task != "extract" or (job.settings.student is None and job.workers is None)


def check(job: Job, source: str) -> None:
    """Refuse settings, pictures and files that cannot work.

    Args:
        job: without a backbone.
        source: what ``describe_backbone`` takes.

    Raises:
        ConfigError: a setting is out of range, would not be used or cannot hold for the model, a
            picture has no drawing or a drawing no picture, the prior is none, a result would
            replace a picture, or a folder holds no data set.
        ImageError: a picture or a drawing cannot be used.
        UnknownNameError: a word is unknown.
    """
    config: SketchConfig = job.settings
    check_settings(config)
    check_used(config, task=job.task, own=job.image is not None)
    if needs_backbone(job):
        check_source(job, source)
    if config.prior is not None:
        read_prior(config.prior)
    if job.task == "evaluate" and config.dataset is not None:
        check_dataset(job)
    if job.task == "extract":
        check_given(job)
    if job.task == "distil":
        check_distil_places(job, style_of(job))
        if config.onnx:
            check_exporter()
    if job.task == "train":
        check_places(job)
        own_lessons(job)
        read_targets(config.targets)
