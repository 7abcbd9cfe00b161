"""Where the interface tests find their files."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DATA = HERE / "data"
GLES2 = ROOT / "src/python/hyplink/idl/examples/gles2.vidl"
