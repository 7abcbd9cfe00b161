"""A client of an interface inside a bench that runs in another process."""

from __future__ import annotations

import argparse
import contextlib
import importlib
from collections.abc import Iterator

from hyplink.idl.commands.served import Served, UsageError, pick

__all__ = ["attached"]


@contextlib.contextmanager
def attached(args: argparse.Namespace) -> Iterator[Served]:
    """Become an application of the device's client VM, open a channel to whoever serves there.

    Raises:
        NoSuchLink, BadArgument: no such bench, or several.
        DeadlineExceeded: ETIMEDOUT; nobody serves the device.
        VersionMismatch: EPROTONOSUPPORT; with the first call: it serves another version.
    """
    from hyplink.idl.loader import load

    module = load(args.file)
    info = pick(module, args.interface)
    # By name: the language floor stands below the bench, and does not need it to check a file.
    observe = importlib.import_module("hyplink.observe")
    core = importlib.import_module("hyplink._core")
    rpq = importlib.import_module("hyplink.rpq")
    with observe.Remote(observe.choose(args.bench or None)) as remote:
        links = {link["label"]: link for link in remote.topology()["links"]}
        if args.device not in links:
            known = ", ".join(sorted(links)) or "none"
            raise UsageError(f"no device {args.device} on that bench; there are {known}")
        vm = links[args.device]["client"] if args.vm is None else args.vm
        descriptor = remote.attach(vm)
    application = rpq.Application(core.Application.from_fd(descriptor), args.timeout)
    with (
        application,
        module.session(application.rpq(args.device)) as session,
        session.channel() as channel,
    ):
        yield Served(module, info, channel, None)
