"""Run the scripts of known faults: all, or those named, as in ``python tests/faults r01 r17``.

A script exits with 1 while its fault is there and with 0 when what it prints is right. Each gets a
line; 2, on stderr, means that it could not run, as when something that it imports is gone.
"""

import subprocess
import sys
from pathlib import Path

SCRIPTS = {
    path.name.partition("_")[0]: path
    for path in sorted(Path(__file__).resolve().parent.glob("r*.py"))
}
WORDS = {0: "right", 1: "fault", 2: "cannot run"}


def outcome(script: Path) -> tuple[int, str]:
    """Exit code and last line of a script; an exception that ends it is 2."""
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=900
    )
    broken = done.returncode == 1 and f'File "{script}", line' in done.stderr
    text = done.stderr if broken else done.stdout or done.stderr
    return 2 if broken else done.returncode, (text.strip().splitlines() or [""])[-1]


def main(named: list[str]) -> int:
    """Run the scripts and print a line for each; the code is the worst of theirs."""
    unknown = sorted(set(named) - set(SCRIPTS))
    if unknown:
        print(f"no script {unknown[0]}; known: {', '.join(SCRIPTS)}", file=sys.stderr)
        return 2
    codes = []
    for name in named or SCRIPTS:
        code, last = outcome(SCRIPTS[name])
        told = f"{SCRIPTS[name].stem} {WORDS.get(code, code)}: {last}"
        print(told, file=sys.stderr if code == 2 else sys.stdout, flush=True)
        codes.append(code)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
