"""``python -m collection_health``: the same as the ``collection-health`` command."""

import sys

from collection_health.cli import main

sys.exit(main())
