"""A device that torch knows but does not have here ends in a traceback, unlike CUDA.

Expected: as for cuda: "device mps must exist here ...; use device=auto", exit code 2.
Seen: device=mps RuntimeError "PyTorch is not linked with support for mps devices", device=xpu
AssertionError; exit code 1 and a traceback, after the model was read. (`auto` never takes mps,
although the help offers it.)
"""

import sys

import featurekit as fk

wrong = 0
for device in ("cuda:7", "mps", "xpu"):
    try:
        fk.load_backbone("embedded", device=device)
        print(device, "is here")
    except fk.errors.FeatureKitError as error:
        print(device, "->", error)
    except (RuntimeError, AssertionError) as error:
        wrong += 1
        print(device, "->", type(error).__name__, error)
sys.exit(1 if wrong else 0)
