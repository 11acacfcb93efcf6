"""Run the scripts of known faults: all, or those named, as in ``python tests/faults r01 r17``.

A script exits with 1 while its fault is there and with 0 when what it prints is right; 2 means that
it could not run, because a module that it imports is gone. r02 and r36 only print.
"""

import subprocess
import sys
from pathlib import Path

WORDS = {0: "right", 1: "fault", 2: "cannot run"}
GONE = ("ModuleNotFoundError: No module named 'featurekit", "ImportError: cannot import name")


def outcome(script: Path) -> tuple[int, str]:
    """Exit code and last line of one script; an import that fails is 2."""
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=900
    )
    last = ((done.stdout + done.stderr).strip().splitlines() or [""])[-1]
    code = 2 if done.returncode and last.startswith(GONE) else done.returncode
    return code, last


def main(named: list[str]) -> int:
    """Run the scripts and print a line for each; the code is the worst of theirs."""
    scripts = sorted(Path(__file__).parent.glob("r*.py"))
    chosen = [one for one in scripts if not named or one.name.partition("_")[0] in named]
    codes = []
    for script in chosen:
        code, last = outcome(script)
        print(f"{WORDS.get(code, code):<10}  {script.stem}: {last}", flush=True)
        codes.append(code)
    return max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
