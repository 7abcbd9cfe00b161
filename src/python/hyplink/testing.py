"""Help for tests of code that talks over a bench: both ends of a channel, states, bytes.

The fixtures of `hyplink.pytest_plugin` are built from this; nothing here needs pytest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hyplink import _core, errors
from hyplink.bench import Bench, Vm
from hyplink.closing import Closing
from hyplink.timeouts import UNSET, Timeout, or_default

if TYPE_CHECKING:
    from hyplink.board import Board, LinkSpec
    from hyplink.pipe import Pipe
    from hyplink.rpq import Application, ClientChannel, ServerChannel, Session

__all__ = [
    "Background",
    "PipePair",
    "RpqPair",
    "background",
    "connect_pipe",
    "connect_rpq",
    "device_names",
    "eventually",
    "hexdump",
    "hexdump_difference",
]

S = TypeVar("S")
T = TypeVar("T")

#: Device classes that carry vRPQ.
RPQ_CLASSES = ("vogl", "vomx")
#: Device classes that are pipes.
PIPE_CLASSES = ("vbpipe", "vpipe")
#: Name of the threads that `background` starts.
BACKGROUND = "hyplink-background"
#: How long `eventually` trusts that a change of state announces itself.
_BEAT = 0.05


class Background(Generic[T]):
    """A function in a thread beside the test; on a seeded bench the scheduler runs it."""

    def __init__(self, bench: Bench, body: Callable[[], T]) -> None:
        self._value: Any = None
        self._failure: BaseException | None = None
        task = _core.Task(bench._core)
        self._ended = _core.Event(bench._core)
        bodies = [body]
        del body

        def run() -> None:
            task.enter()
            try:
                # What only the function holds goes with it, while the scheduler still runs this thread.
                self._value = bodies.pop()()
            except BaseException as failure:  # raised again by result()
                self._failure = failure
            finally:
                self._ended.set()
                task.leave()

        self._thread = threading.Thread(target=run, daemon=True, name=BACKGROUND)
        self._thread.start()

    def done(self) -> bool:
        """True once the function has returned or raised."""
        return bool(self._ended.is_set())

    def result(self, *, timeout: float | None = None) -> T:
        """What the function returned; what it raised is raised here.

        Raises:
            DeadlineExceeded: ETIMEDOUT; it still runs.

        Blocks: until it ends or the timeout; Ctrl-C works.
        """
        if not self._ended.wait(timeout):
            raise errors.DeadlineExceeded(110, f"background work: still running after {timeout} s")
        self._thread.join()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return self._value  # type: ignore[no-any-return]


def background(bench: Bench, body: Callable[[], T]) -> Background[T]:
    """Run a function beside the test, e.g. the accepting end while the test creates."""
    return Background(bench, body)


def device_names(board: Board, label: str) -> tuple[str, str]:
    """The names (server's, client's) under which the applications of the two VMs open a vlink.

    A label numbers the vlinks of the board, a device name those of one VM and role.
    """
    wanted = board.link(label)

    def unit(same_vm: Callable[[LinkSpec], bool]) -> int:
        before = board.links[: board.links.index(wanted)]
        return sum(link.name == wanted.name and same_vm(link) for link in before)

    server = unit(lambda link: link.server == wanted.server)
    client = unit(lambda link: link.client == wanted.client)
    return f"{wanted.name}{server}", f"{wanted.name}{client}"


@dataclasses.dataclass
class RpqPair(Closing):
    """Both ends of one vRPQ channel. ``server`` and ``client`` are the channels."""

    bench: Bench
    label: str
    server_application: Application
    client_application: Application
    server_session: Session
    client_session: Session
    server: ServerChannel
    client: ClientChannel

    @property
    def server_vm(self) -> Vm:
        """The VM of the server end."""
        return self.bench.vm(self.server_application.vm)

    @property
    def client_vm(self) -> Vm:
        """The VM of the client end."""
        return self.bench.vm(self.client_application.vm)

    def channel(
        self, info: bytes = b"", *, parameter_bytes: int = 0
    ) -> tuple[ServerChannel, ClientChannel]:
        """Another channel of the same session: (server's end, client's end)."""
        accepted = background(self.bench, self.server_session.accept)
        client = self.client_session.channel(info, parameter_bytes=parameter_bytes)
        return accepted.result(), client

    def call(
        self, proc: int = 1, data: bytes = b"", out_bytes: int = 0, *, timeout: float | None = None
    ) -> Background[bytes]:
        """Start a call; the test receives and answers it meanwhile."""
        limit = self.client.timeout if timeout is None else timeout
        return background(
            self.bench, lambda: self.client.call_bytes(proc, data, out_bytes, timeout=limit)
        )

    def close(self) -> None:
        """Close both ends. Idempotent."""
        for closing in (
            *(self.client, self.server, self.client_session, self.server_session),
            *(self.client_application, self.server_application),
        ):
            closing.close()

    def __repr__(self) -> str:
        states = f"server {self.server.state.name}, client {self.client.state.name}"
        return f"<RpqPair on {self.label}: {states}>"


def _both(
    bench: Bench, acceptor: Application, accept: Callable[[], S], create: Callable[[], T]
) -> tuple[S, T]:
    """Accept in the background while this thread creates."""
    accepting = background(bench, accept)
    try:
        created = create()
    except BaseException:
        acceptor.close()  # ends the accept
        with contextlib.suppress(errors.HyplinkError):
            accepting.result()
        raise
    return accepting.result(), created


def connect_rpq(
    bench: Bench,
    label: str | None = None,
    *,
    session_info: bytes = b"",
    channel_info: bytes = b"",
    parameter_bytes: int = 0,
    timeout: Timeout = UNSET,
) -> RpqPair:
    """Open both ends of a vRPQ channel from this process, each as an application of its VM.

    Args:
        bench: A booted bench.
        label: The vlink; None takes the first that carries vRPQ.
        session_info: Handed to the server with the session.
        channel_info: Handed to the server with the channel.
        parameter_bytes: Room for parameters; 0 asks for the default.
        timeout: Seconds for each step, and later for every operation of both ends; that of the bench if not given.

    Raises:
        NoSuchLink: ENODEV; the board has no such vlink.
    """
    timeout = or_default(timeout, bench.timeout)
    if label is None:
        label = next((link.label for link in bench.board.links if link.name in RPQ_CLASSES), None)
        if label is None:
            known = ", ".join(list(bench.links)[:20]) or "none"
            raise errors.NoSuchLink(19, f"no vlink of this board carries vRPQ; it has {known}")
    spec = bench.link(label).spec
    server_name, client_name = device_names(bench.board, label)
    with contextlib.ExitStack() as undo:
        server_application = undo.enter_context(bench.vm(spec.server).application())
        client_application = undo.enter_context(bench.vm(spec.client).application())
        server_device = server_application.rpq(server_name)
        client_device = client_application.rpq(client_name)
        server_session, client_session = _both(
            *(bench, server_application, lambda: server_device.accept(timeout=timeout)),
            lambda: client_device.session(session_info, timeout=timeout),
        )
        server, client = _both(
            *(bench, server_application, lambda: server_session.accept(timeout=timeout)),
            lambda: client_session.channel(
                channel_info, parameter_bytes=parameter_bytes, timeout=timeout
            ),
        )
        undo.pop_all()
    return RpqPair(
        *(bench, label, server_application, client_application),
        *(server_session, client_session, server, client),
    )


@dataclasses.dataclass
class PipePair(Closing):
    """Both ends of a pipe. ``one`` is the end of the VM that reads the board's first such vlink."""

    bench: Bench
    one_application: Application
    two_application: Application
    one: Pipe
    two: Pipe

    def close(self) -> None:
        """Close both ends. Idempotent."""
        for closing in (self.one, self.two, self.one_application, self.two_application):
            closing.close()


def connect_pipe(bench: Bench, *, timeout: Timeout = UNSET, **flags: bool) -> PipePair:
    """Open both ends of the board's first pipe from this process, each as an application of its VM.

    Args:
        bench: A booted bench.
        timeout: Seconds for opening, and later for every read and write; that of the bench if not given.
        flags: ``nonblock``, ``exclusive`` of both ends.

    Raises:
        NoSuchLink: ENODEV; the board has no pipe.
    """
    spec = next((link for link in bench.board.links if link.name in PIPE_CLASSES), None)
    if spec is None:
        known = ", ".join(list(bench.links)[:20]) or "none"
        raise errors.NoSuchLink(19, f"no vlink of this board is a pipe; it has {known}")
    name = str(spec.options.get("name", f"{spec.name}0"))
    modes = ("r+", "r+") if spec.name == "vbpipe" else ("r", "w")
    with contextlib.ExitStack() as undo:
        one = undo.enter_context(bench.vm(spec.server).application())
        two = undo.enter_context(bench.vm(spec.client).application())
        one.timeout = two.timeout = or_default(timeout, bench.timeout)
        ends = _both(
            *(bench, one, lambda: one.pipe(name, modes[0], **flags)),
            lambda: two.pipe(name, modes[1], **flags),
        )
        undo.pop_all()
    return PipePair(bench, one, two, *ends)


def eventually(bench: Bench, predicate: Callable[[], object], *, timeout: float = 30.0) -> None:
    """Wait until a predicate about VMs and vlinks holds; it is asked again after changes of state.

    Raises:
        DeadlineExceeded: ETIMEDOUT; it did not come true.

    Blocks: until then or the timeout; Ctrl-C works.
    """
    deadline = time.monotonic() + timeout
    beats = 0
    while not predicate():
        # A seeded bench has a clock of its own, so beats count too.
        if time.monotonic() > deadline or beats > timeout / _BEAT:
            raise errors.DeadlineExceeded(110, f"still not true after {timeout} s: {predicate}")
        beats += 1
        with contextlib.suppress(errors.DeadlineExceeded):
            if bench.links:
                link = next(iter(bench.links.values()))
                bench._core.wait_link(link.index, not link.is_on, _BEAT)
            else:
                vm = next(iter(bench.vms.values()))
                bench._core.wait_vm(vm.id, (int(vm.state) + 1) % 5, _BEAT)


def hexdump(data: Any, start: int = 0, stop: int | None = None) -> list[str]:
    """Lines of 16 bytes: offset, hex, text."""
    view = memoryview(data).cast("B")
    stop = view.nbytes if stop is None else min(stop, view.nbytes)
    lines = []
    for at in range(start - start % 16, stop, 16):
        row = bytes(view[at : min(at + 16, stop)])
        text = "".join(chr(c) if 32 <= c < 127 else "." for c in row)
        lines.append(f"{at:08x}  {row.hex(' '):<47}  {text}")
    return lines


def hexdump_difference(left: Any, right: Any, *, context: int = 32) -> list[str]:
    """How two buffers differ: sizes, first differing byte, the bytes around it. Empty if equal."""
    a, b = memoryview(left).cast("B"), memoryview(right).cast("B")
    shorter = min(a.nbytes, b.nbytes)
    first = next((i for i in range(shorter) if a[i] != b[i]), shorter)
    if first == a.nbytes == b.nbytes:
        return []
    lines = []
    if a.nbytes != b.nbytes:
        lines.append(f"{a.nbytes} bytes on the left, {b.nbytes} on the right")
    if first < shorter:
        count = sum(a[i] != b[i] for i in range(shorter))
        where = f"first difference at byte {first} ({first:#x})"
        lines.append(f"{where}: {a[first]:#04x} != {b[first]:#04x}; {count} differ")
    else:
        lines.append(f"equal up to byte {first} ({first:#x}), where one ends")
    begin, end = max(0, first - context), first + context + 1
    lines += [f"left   {line}" for line in hexdump(a, begin, end)]
    lines += [f"right  {line}" for line in hexdump(b, begin, end)]
    return lines
