"""Start-up of a Python application inside a VM's process tree: ``python -m hyplink._app``.

The VM hands over three descriptors: 3 is the way to its guest kernel, 4 holds what to run (pickled, with the
caller's import path), 5 takes the result. Nobody starts this by hand.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys


def main() -> int:
    """Run what the bench sent; its value or exception goes back through descriptor 5.

    Whatever fails on the way there goes back, too: nothing is done outside of the ``try`` that could.
    """
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is the bench's; it takes the VM down in order
    with socket.socket(fileno=5) as back:
        try:
            outcome = (True, _run())
        except BaseException as failure:  # goes to the bench, whatever it is
            import traceback

            outcome = (False, (failure, traceback.format_exc()))
            failure.__traceback__ = None
        with contextlib.suppress(BrokenPipeError):  # the bench no longer wants to know
            back.sendall(_dump(outcome))
    return 0


def _run() -> object:
    with os.fdopen(4, "rb") as sent:
        sys.path[:] = pickle.load(sent)
        from hyplink import _core, rpq
        from hyplink.idl.carry import restore

        restore(pickle.load(sent))
        with rpq.Application(_core.Application.from_fd(3)) as application:
            guest, application.timeout = pickle.load(sent)
            return guest(application)


def _dump(outcome: tuple[bool, object]) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(outcome))
    except Exception as failure:  # a result that cannot travel is itself the result
        text = f"the guest's result cannot be sent back: {failure}"
        if not outcome[0]:
            text += f"\n{outcome[1]}"
        return pickle.dumps((False, (RuntimeError(text), text)))


if __name__ == "__main__":
    sys.exit(main())
