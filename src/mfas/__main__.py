"""`python -m mfas` is the command `mfas`."""

import sys

from mfas.cli import main

sys.exit(main())
