"""From a mix of calls to the sizes that a device tree asks for.

>>> mix = parse_mix("uniform4f=1000,draw=3:16K")
>>> suggestion = suggest(model, mix)
>>> suggestion.info
'vrpq-reqs=2048,vrpq-pmem=164K'
"""

from __future__ import annotations

from hyplink.idl.sizing.mix import Mix, MixItem, parse_mix, read_mix
from hyplink.idl.sizing.suggest import Suggestion, suggest

__all__ = ["Mix", "MixItem", "Suggestion", "parse_mix", "read_mix", "suggest"]
