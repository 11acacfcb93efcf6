"""``python -m featurekit``."""

import sys

from featurekit.cli.router import main

sys.exit(main())
