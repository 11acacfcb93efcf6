"""What the words of ``featurekit extract`` ask for, checked before a model is loaded for it."""

from collections.abc import Sequence

from featurekit.cli.options import ExtractOptions
from featurekit.cli.progress_bars import say
from featurekit.core.errors import ConfigError, UnknownNameError
from featurekit.features.recipes import recipe
from featurekit.pipeline.overrides import fill, split
from featurekit.store.places.place import Place, in_this_process, place_at, place_to_write
from featurekit.store.places.services import shown


def options_of(words: Sequence[str]) -> ExtractOptions:
    """Settings, with those of a recipe below what the words say themselves.

    Args:
        words: of the command line.

    Raises:
        FeatureKitError: one is wrong, or some do not go together.
    """
    words = ["dry_run=true" if word == "--dry-run" else word for word in words]
    options = fill(ExtractOptions, words)
    if options.store and any(word.startswith("out=") for word in words):
        raise ConfigError(
            f"results must go to one place, got out={options.out} and "
            f"store={shown(options.store)}; leave one out"
        )
    if options.recipe:
        options = fill(ExtractOptions, [*recipe(options.recipe).words(), *words])
    if not options.store and any(
        (options.reduce, options.shard, options.dry_run, options.engine, options.workers)
    ):
        raise ConfigError(
            "reduce, shard, dry_run, engine and workers must go with a store, got none; "
            "add store=..."
        )
    if options.engine not in ("", "ray"):
        raise UnknownNameError("engine", options.engine, ["ray"])
    if options.workers and not options.engine:
        raise ConfigError(
            f"workers must go with an engine that starts them, got workers={options.workers} "
            f"alone; add engine=ray"
        )
    if options.engine and options.shard:
        raise ConfigError(
            f"shard must be left out with engine={options.engine}, which gives each worker its "
            f"own, got shard={options.shard}; workers=N says how many there are"
        )
    if options.trajectories:
        _refuse_unread(options, words)
    return options


def _refuse_unread(options: ExtractOptions, words: Sequence[str]) -> None:
    """Refuse what would say nothing about the latents of an inversion."""
    if not options.store:
        raise ConfigError("trajectories must go with a store, got none; add store=...")
    keys = ("taps", "timesteps", "ensemble", "recipe", "seed", "rows")
    given = [word for word in words if split(word)[0] in keys]
    if given:
        raise ConfigError(
            f"{', '.join(keys)} must be left out with trajectories, of which features are made "
            f"later, got {' '.join(given)}"
        )


def place_of(options: ExtractOptions) -> Place:
    """Find where a store lies; an address is tried, where it is to be written to.

    Raises:
        FeatureKitError: it is no place for a store, or nothing can be written there.
    """
    place = place_at(options.store) if options.dry_run else place_to_write(options.store)
    if in_this_process(place):
        if options.engine:
            raise ConfigError(
                f"a store must be where all workers of {options.engine} see it, but {str(place)!r} "
                f"is memory of this process; give a folder or an address such as s3://bucket/prefix"
            )
        say(f"{place} is memory of this process and ends with it")
    return place
