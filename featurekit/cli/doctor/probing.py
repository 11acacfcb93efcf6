"""What only a separate process can find out safely: what imports here, and what torch sees.

``doctor`` runs this file with the names of modules, and reads a line of JSON for each answer, so
that an import which kills the interpreter leaves the answers before it.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from featurekit.core.errors import FeatureKitError
from featurekit.pipeline.registry import import_fault, load_plugin, plugins, resolve

TORCH = "torch"
BEGUN = "begun"  # told before an import; the last one that is not followed by its answer was fatal


def main(modules: Sequence[str]) -> int:
    """Write what is found, line by line, to stdout.

    Args:
        modules: to import, in this order; devices are looked at if torch is among them and sound.

    Returns:
        The exit code, 0.
    """
    faults = {}
    for module in modules:
        _tell(BEGUN, module)
        faults[module] = import_fault(module)
        _tell("import", module, faults[module])
    if faults.get(TORCH, "not asked for") is None:
        _tell(BEGUN, "devices")
        _tell("devices", devices())
    for name in sorted({info.name for info in plugins()}):
        _tell(BEGUN, f"plugin {name}")
        _tell("plugin", name, plugin_fault(name))
    return 0


def plugin_fault(name: str) -> str | None:
    """Say why a plugin cannot be used: its description, or what its description names.

    Args:
        name: of an installed plugin.

    Returns:
        A sentence, or None for a sound plugin.
    """
    try:
        plugin = load_plugin(name)
        resolve(plugin.target, of=f"the target of plugin {name!r}")
    except FeatureKitError as error:
        return str(error)
    except Exception as error:
        return f"importing the target of plugin {name!r} raised {type(error).__name__}: {error}"
    return None


def devices() -> dict[str, Any]:
    """Ask torch what it can compute on; an answer that raises is left out.

    Returns:
        threads, built_for_cuda, cuda (names of the devices), cuda_bf16, mps.
    """
    asked: dict[str, Callable[[], Any]] = {
        "threads": lambda: resolve("torch:get_num_threads")(),
        "built_for_cuda": lambda: resolve("torch.backends.cuda:is_built")(),
        "cuda": _cuda_names,
        "cuda_bf16": lambda: resolve("torch.cuda:is_bf16_supported")(),
        "mps": lambda: resolve("torch.backends.mps:is_available")(),
    }
    found = {}
    for name, ask in asked.items():
        try:
            found[name] = ask()
        except Exception as error:
            found[f"{name}_error"] = f"{type(error).__name__}: {error}"
    return found


def _cuda_names() -> list[str]:
    if not resolve("torch.cuda:is_available")():
        return []
    count = resolve("torch.cuda:device_count")()
    return [str(resolve("torch.cuda:get_device_name")(index)) for index in range(count)]


def _tell(*answer: object) -> None:
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
