"""C programs over vrpc.h, inside VMs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from vm_programs import build_c as build_c
from vm_programs import runner as runner
