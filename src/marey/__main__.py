"""`python -m marey` is the same as `marey`; `torchrun -m marey` needs it."""

import sys

from marey.cli.main import main

sys.exit(main())
