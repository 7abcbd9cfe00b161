"""Look at a running bench from another terminal.

In the bench's process:

    with hyplink.observe.serve(bench):
        …

and elsewhere, as the same user, ``hyplink stat --watch``, ``hyplink trace tail``, or

    with observe.Remote(observe.choose()) as remote:
        print(remote.trace(20).tail())
"""

from __future__ import annotations

from hyplink.observe.client import Remote, choose, running
from hyplink.observe.protocol import Address
from hyplink.observe.server import Observable, Observer

__all__ = ["Address", "Observable", "Observer", "Remote", "choose", "running", "serve"]


def serve(bench: Observable) -> Observer:
    """Let the same user look at a bench from other processes, until the result is closed.

    Nothing is left behind, however this process ends. Close it before the bench.
    """
    return Observer(bench)
