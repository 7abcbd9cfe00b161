"""``python -m hyplink.idl``: the same commands as ``hyplink idl``, for build systems."""

from __future__ import annotations

import sys

from hyplink.idl.cli import main

if __name__ == "__main__":
    sys.exit(main())
