"""``python -m hyplink.board``."""

from __future__ import annotations

import sys

from hyplink.board.cli import main

sys.exit(main())
