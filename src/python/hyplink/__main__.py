"""``python -m hyplink``: the same as the ``hyplink`` command."""

from __future__ import annotations

import sys

from hyplink.cli import main

if __name__ == "__main__":
    sys.exit(main())
