#!/usr/bin/env bash
# Tests that pytest-xdist is told to keep in one group run on every worker, without a word.
#
# Versions: pytest 9.2.0, pytest-xdist 3.8.0.
# Valid input: eight tests of one file with the mark xdist_group("one"), run with -n 2 --dist loadgroup.
# Expected: one worker runs all eight, so that what a fixture of the file makes is made once.
# Seen: both workers run some, as with --dist load. A worker tells of a group by an attribute of the test, _nodeid, that this
#   pytest no longer reads. --dist loadfile, which goes by the name of the file, keeps them together.
# Exits with 0 while this is so, with 1 where it changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q install pytest==9.2.0 pytest-xdist==3.8.0
cat > "$work/test_group.py" <<'PY'
import time

import pytest

pytestmark = pytest.mark.xdist_group("one")


@pytest.mark.parametrize("number", range(8))
def test_it(number, worker_id):
    time.sleep(0.3)
PY
cd "$work"
"$work/env/bin/pip" list 2>/dev/null | grep -i pytest
workers() { "$work/env/bin/python" -m pytest -p no:cacheprovider -n 2 --dist "$1" -v test_group.py | grep -o '^\[gw[0-9]*\]' | sort -u | wc -l; }
group=$(workers loadgroup); file=$(workers loadfile)
echo "workers that ran some of the eight tests: loadgroup $group, loadfile $file"
[ "$group" = 2 ] && [ "$file" = 1 ]
