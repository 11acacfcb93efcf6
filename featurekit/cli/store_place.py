"""Where the store of a command is to lie, found before a model is loaded for it."""

from featurekit.cli.options import ExtractOptions
from featurekit.cli.progress_bars import say
from featurekit.core.errors import ConfigError
from featurekit.store.places.place import Place, in_this_process, place_at, place_to_write


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
