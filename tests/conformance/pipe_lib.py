"""Boards and helpers of the pipes' tests."""

from __future__ import annotations

import hyplink
from hyplink.testing import Background, background

#: Ring of 64 bytes: capacity 48.
TINY = """
&vm2_vdevs { be: vbpipe@be { compatible = "vbpipe"; info = ";64"; }; };
&vm4_vdevs { vbpipe@fe { peer-phandle = <&be>; info = ";64"; }; };
"""
#: VM 2 reads what there is; VM 4 waits for all it asked for.
AVAILABLE = """
&vm2_vdevs { be: vbpipe@be { compatible = "vbpipe"; info = "a;4K;3;wakeup=250;name=talk"; }; };
&vm4_vdevs { vbpipe@fe { peer-phandle = <&be>; info = ";64K;;name=talk"; }; };
"""
LOOPBACK = """
&vm2_vdevs {
    be: vbpipe@be { compatible = "vbpipe"; };
    vbpipe@fe { peer-phandle = <&be>; };
};
"""


def opening(
    bench: hyplink.Bench, vm: int, name: str = "vbpipe0", mode: str = "r+", **flags: bool
) -> Background[hyplink.pipe.Pipe]:
    """Open in the background: it waits for the other end."""
    application = bench.vm(vm)._shared()
    return background(bench, lambda: application.pipe(name, mode, **flags))


def both(
    bench: hyplink.Bench, name: str = "vbpipe0", **flags: bool
) -> tuple[hyplink.pipe.Pipe, hyplink.pipe.Pipe]:
    """Both ends of the default board's pipe."""
    first = opening(bench, 2, name, **flags)
    second = bench.vm(4).pipe(name, **flags)
    return first.result(timeout=60), second
