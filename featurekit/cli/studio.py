"""``featurekit studio``: a page in the browser on which to drag, sketch and look inside."""

import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from featurekit.cli.options import StudioOptions
from featurekit.cli.progress_bars import say
from featurekit.core.errors import ConfigError
from featurekit.core.interrupts import tells_how_to_go_on
from featurekit.core.locks import held_if_free
from featurekit.pipeline.overrides import fill
from featurekit.web.opening import Place, check_extra, server
from featurekit.web.studio import Studio, studio_folder

AGAIN = "the same command shows the studio as it was left"


def main(words: Sequence[str]) -> int:
    """Serve the studio until Ctrl-C.

    Args:
        words: overrides of ``StudioOptions``.

    Returns:
        The exit code, 0.

    Raises:
        FeatureKitError: the words are wrong, the extra is missing, the picture is none, the port
            is in use, or the folder is, by another studio.
    """
    options = fill(StudioOptions, words)
    if not 0 <= options.port <= 65535:
        raise ConfigError(f"port must be 0 (any that is free) to 65535, got {options.port}")
    check_extra()
    folder = studio_folder(options.folder)
    asked = any(word.partition("=")[0] == "port" for word in words)
    with held_if_free(folder, of="a studio's folder", advice="end that studio, or give folder=..."):
        studio = Studio(folder, options.backbone)
        if options.image:
            path = Path(options.image).expanduser()
            studio.put_file(path)
        served = server()(studio, Place(options.host, options.port if asked else None))
        sys.stdout.write(f"{served.address}\n")
        sys.stdout.flush()
        say("the studio is open; Ctrl-C ends it")
        if options.browser:
            threading.Thread(target=webbrowser.open, args=(served.address,), daemon=True).start()
        studio.warm_up()
        with tells_how_to_go_on(lambda: AGAIN):
            served.run()
    return 0
