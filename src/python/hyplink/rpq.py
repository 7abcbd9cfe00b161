"""vRPQ: sessions, channels, requests, as an application of a VM uses them.

A session belongs to one client application and one server application; a channel to one thread of each. Requests
are marshalled straight into the channel's port and read there by the server. Generated stubs (``hyplink.idl``) use
`ClientChannel` and `Request`; the raw form below is for everything else.

Source: PVUG 3.1; DV-0024 3.4.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from hyplink import _core, errors
from hyplink.closing import Closing
from hyplink.memory import Memory

if TYPE_CHECKING:
    from hyplink import dma, ion, mq, rpc, umem
    from hyplink import pipe as pipes
    from hyplink import upipe as upipes

__all__ = [
    "Application",
    "CallbackHandler",
    "ChannelState",
    "ClientChannel",
    "Device",
    "ProcId",
    "Request",
    "ServerChannel",
    "Session",
    "serve",
]

T = TypeVar("T")

#: Seconds that an operation waits when no timeout is given.
DEFAULT_TIMEOUT = 10.0

Request = _core.Request

#: Handles one request; returns the status of its answer (None is 0). An ``OSError`` answers its errno.
CallbackHandler = Callable[[Any], "int | None"]


class _Unset(enum.Enum):
    UNSET = enum.auto()


_UNSET = _Unset.UNSET
#: Seconds, None for ever, or not given: the default of the object.
Timeout = float | _Unset | None


class ProcId(NamedTuple):
    """Identity of a procedure: group and function, 0..65535 each."""

    group: int
    function: int

    def __int__(self) -> int:
        return self.group << 16 | self.function


class ChannelState(enum.IntEnum):
    """What the own guest kernel says about a session or channel."""

    NONE = 0
    OPEN = 1
    PEER_CLOSED = 2
    DEAD = 3
    CLOSED = 4


class _Channel(Closing):
    """What both ends of a channel share."""

    _core: Any
    role = ""

    def __init__(self, core: Any, timeout: float | None) -> None:
        self._core = core
        self.timeout = timeout
        core.set_timeout(timeout)

    def close(self) -> None:
        """Close this end: the peer gets what was published, then EPIPE. Idempotent."""
        self._core.close()

    @property
    def state(self) -> ChannelState:
        """OPEN, PEER_CLOSED, DEAD or CLOSED."""
        return ChannelState(self._core.state)

    @property
    def number(self) -> int:
        """The channel's number on its link, 1..1024."""
        return int(self._core.number)

    @property
    def label(self) -> str:
        """The device it was opened on."""
        return str(self._core.label)

    @property
    def stats(self) -> dict[str, int]:
        """Counters of this end: posts, batches, calls, xirqs, wakes, copies, latency …."""
        return dict(self._core.counters)

    def fileno(self) -> int:
        """A descriptor for select, epoll or asyncio: readable when the channel's bell was rung."""
        return int(self._core.fileno())

    def _limit(self, timeout: Timeout) -> float | None:
        return self.timeout if isinstance(timeout, _Unset) else timeout

    async def _until(self, attempt: Callable[[], T | None]) -> T:
        """Attempt something whenever the own bell was rung, until it gives a result."""
        loop = asyncio.get_running_loop()
        descriptor = self.fileno()
        rung = asyncio.Event()
        loop.add_reader(descriptor, rung.set)
        try:
            while True:
                rung.clear()
                self._core.fd_rearm()  # before the attempt: a ring in between is not lost
                found = attempt()
                if found is not None:
                    return found
                await rung.wait()
        finally:
            loop.remove_reader(descriptor)

    def __repr__(self) -> str:
        return f"<rpq.{type(self).__name__} {self.number} of {self.label}: {self.state.name}>"


def _answering(handler: CallbackHandler) -> CallbackHandler:
    """What a handler raises as an ``OSError`` is the answer of whoever waits for one."""

    def run(request: Any) -> int | None:
        try:
            return handler(request)
        except OSError as failure:
            if not request.is_call or isinstance(failure, errors.CorruptRing) or not failure.errno:
                raise
            return failure.errno

    return run


class ClientChannel(_Channel):
    """Client end of a channel. One thread at a time.

    ``begin`` … ``post`` marshal a request into the port; ``notify`` publishes the batch with at most one XIRQ;
    ``begin_call`` … ``call`` send everything before them, and wait for the answer. Callbacks of the server come
    to the handler of ``on_callback``, in ``handle_callbacks`` and while a call waits.
    """

    role = "client"

    def __init__(self, core: Any, timeout: float | None) -> None:
        super().__init__(core, timeout)
        # Bound methods of the core: generated stubs call these for every request.
        self.begin: Callable[[int, int], int] = core.fast_begin
        self.post: Callable[[], None] = core.fast_post
        self.notify: Callable[[], None] = core.notify
        self.post_and_notify: Callable[[], None] = core.post_and_notify
        self.begin_call: Callable[[int, int, int], int] = core.begin_call
        self.window: memoryview = core.window

    def post_bytes(self, proc: ProcId | int, data: Any = b"") -> None:
        """Post a request with ready-made parameters. No XIRQ is sent.

        Raises:
            MessageTooLong: EMSGSIZE; larger than half the port.
            PeerDied: EPIPE; ``pending`` counts requests not known to be consumed.
            DeadlineExceeded: ETIMEDOUT; the ring stayed full.

        Blocks: while the ring is full. Copies: 1. Source: PVUG 3.1.2.2.
        """
        view = memoryview(data).cast("B")
        size = -(-view.nbytes // 8) * 8
        at = self.begin(int(proc) if isinstance(proc, int) else proc.__int__(), size)
        self.window[at : at + view.nbytes] = view
        self.window[at + view.nbytes : at + size] = bytes(size - view.nbytes)
        self.post()

    def call_bytes(
        self, proc: ProcId | int, data: Any = b"", out_bytes: int = 0, *, timeout: Timeout = _UNSET
    ) -> bytes:
        """Run one procedure and wait for its output; requests posted earlier are delivered first.

        Raises:
            PeerDied: EPIPE; ``pending`` counts the requests that were lost.
            DeadlineExceeded: ETIMEDOUT; a late answer is dropped.
            LinkError: the reason the server set, as errno.

        Blocks: until the answer or the timeout; Ctrl-C works. Copies: 1 in, 1 out.
        """
        view = memoryview(data).cast("B")
        size = -(-view.nbytes // 8) * 8
        number = proc.__int__()
        at = self.begin_call(number, size, -(-out_bytes // 8) * 8)
        self.window[at : at + view.nbytes] = view
        self.window[at + view.nbytes : at + size] = bytes(size - view.nbytes)
        status, out, _ = self.call(timeout=timeout)
        if status:
            raise errors.from_errno(
                status, f"call {number:#x} on {self.label}: the server answered {status}"
            )
        return bytes(self.window[out : out + out_bytes])

    def call(self, timeout: Timeout = _UNSET) -> tuple[int, int, int]:
        """Send the call begun last and wait. Returns (status, offset of the answer, its size)."""
        return tuple(self._core.call(self._limit(timeout)))

    async def call_async(self, timeout: Timeout = _UNSET) -> tuple[int, int, int]:
        """`call` for asyncio: other coroutines run while the server works."""
        limit = self._limit(timeout)

        def attempt() -> tuple[int, int, int] | None:
            self._core.try_handle_callbacks()
            reply = self._core.try_reply()
            return None if reply is None else tuple(reply)

        try:
            self._core.call_start()
            async with asyncio.timeout(limit):
                return await self._until(attempt)
        except TimeoutError:
            self._core.call_forget()
            raise errors.DeadlineExceeded(
                110, f"call on {self.label}: no answer in {limit} s"
            ) from None
        except asyncio.CancelledError:
            self._core.call_forget()
            raise

    def on_callback(self, handler: CallbackHandler | None) -> None:
        """Who handles what the server sends by itself; None: nobody (see `handle_callbacks`).

        The handler gets a request like a server's (``proc``, ``params``, ``out``, ``is_call``), good until it
        returns, and may post and call on this channel. What else than an ``OSError`` it raises leaves the operation
        in which it ran.
        """
        self._core.on_callback(None if handler is None else _answering(handler))

    def handle_callbacks(self, timeout: Timeout = _UNSET) -> int:
        """Handle the callbacks that are there, or wait for the first; returns how many, 0 after `timeout` seconds.

        Without a handler a synchronous callback is answered EOPNOTSUPP, any other dropped and counted.

        Raises:
            PeerDied: EPIPE; the server is gone, what it sent before it closed was handled.
            WouldDeadlock: EDEADLK; inside a handler.

        Blocks: until one comes; Ctrl-C works. Copies: 0.
        """
        limit = self._limit(timeout)
        if limit == 0:
            return int(self._core.try_handle_callbacks())
        return int(self._core.handle_callbacks(limit))

    async def handle_callbacks_async(self) -> int:
        """`handle_callbacks` for asyncio; no time limit but the task's own."""
        return await self._until(lambda: int(self._core.try_handle_callbacks()) or None)

    @property
    def pending(self) -> int:
        """Requests posted and not known to be consumed."""
        return int(self._core.pending)

    @property
    def block_max(self) -> int:
        """The largest request this channel takes, in bytes."""
        return int(self._core.block_max)


_DROP = {"": 0, "newest": 1, "oldest": 2}


def _whole(data: Any) -> bytes:
    """Parameters, rounded up to whole words as every block is."""
    block = bytes(data)
    return block + bytes(-len(block) % 8)


class ServerChannel(_Channel):
    """Server end of a channel. One thread at a time."""

    role = "server"

    def __init__(self, core: Any, timeout: float | None) -> None:
        super().__init__(core, timeout)
        self.window: memoryview = core.window
        # Bound methods of the core, for generated stubs: offsets of blocks in `window`.
        self.callback_begin: Callable[[int, int], int] = core.callback_begin
        self.callback_post: Callable[[], None] = core.callback_post
        self.callback_begin_call: Callable[[int, int, int], int] = core.callback_begin_call

    def receive(self, max_requests: int = 64, *, timeout: Timeout = _UNSET) -> list[Any]:
        """Acknowledge the previous batch and wait for the next: 1 to `max_requests` requests, the last perhaps a call.

        Each has ``proc``, ``params`` (read in place), ``out`` (a call's answer) and ``is_call``; all are good
        until the next receive. ``max_requests`` 0 acknowledges only.

        Raises:
            PeerDied: EPIPE; the client closed (after everything was delivered) or died.
            DeadlineExceeded: ETIMEDOUT.
            CorruptRing: EBADMSG; the client wrote something impossible.

        Blocks: until a request comes; Ctrl-C works. Copies: 0. Source: PVUG 3.1.2.2.
        """
        return list(self._core.receive(max_requests, self._limit(timeout)))

    def try_receive(self, max_requests: int = 64) -> list[Any] | None:
        """The same without waiting; None when nothing is there."""
        batch = self._core.try_receive(max_requests)
        return None if batch is None else list(batch)

    async def receive_async(self, max_requests: int = 64) -> list[Any]:
        """`receive` for asyncio; no time limit but the task's own."""
        return await self._until(lambda: self.try_receive(max_requests))

    def set_reason(self, reason: int) -> None:
        """The status that the answer to the call in progress carries; 0 is success."""
        self._core.set_reason(reason)

    def acknowledge(self) -> None:
        """Hand the last batch back now; a call in it is answered."""
        self._core.acknowledge()

    def fail(self, error: errors.LinkError) -> None:
        """Give the channel up because of what a request held; the client sees its calls fail."""
        self._core.fail(error.errno or 0, str(error))

    def callback_post_bytes(
        self, proc: ProcId | int, data: Any = b"", *, drop: str = "", keep: int = 0
    ) -> None:
        """Send a callback that nobody waits for. Never waits for the client.

        Args:
            proc: Callbacks number their procedures apart from requests.
            data: Its parameters.
            drop: When the ring is full: "" raises, "newest" keeps up to `keep` of this procedure back and forgets
                what comes after, "oldest" forgets the oldest of those kept back. What is kept back goes out with
                later operations of this end.
            keep: How many.

        Raises:
            WouldBlock: EAGAIN; the ring is full and `drop` is "".
            MessageTooLong: EMSGSIZE; larger than half the callback ring.
            PeerDied: EPIPE; the client is gone.

        Blocks: no. Copies: 1, one more while the ring is full.
        """
        self._core.callback_post_bytes(proc.__int__(), _whole(data), _DROP[drop], keep)

    def callback_call(self, timeout: Timeout = _UNSET) -> tuple[int, int, int]:
        """Send what ``callback_begin_call`` began and wait: (status, offset of the answer in `window`, its size).

        The client answers while it waits in a call or in `handle_callbacks`; calls that it makes from inside its
        handler are served meanwhile by the function given to `on_nested`.

        Raises:
            DeadlineExceeded: ETIMEDOUT; a client that has not picked it up never will.
            WouldDeadlock: EDEADLK; it would nest too deep, or nobody serves the client's call.
            PeerDied: EPIPE; the client is gone.

        Blocks: until the answer; Ctrl-C works. Copies: 0.
        """
        return tuple(self._core.callback_call(self._limit(timeout)))

    def callback_call_bytes(
        self,
        proc: ProcId | int,
        data: Any = b"",
        out_bytes: int = 0,
        *,
        timeout: Timeout = _UNSET,
    ) -> bytes:
        """Run one procedure of the client and wait for its output; see `callback_call`.

        Raises:
            LinkError: the status that the client's handler returned, as errno.

        Blocks: while the ring is full, and until the answer. Copies: 1 in, 1 out.
        """
        block = _whole(data)
        number = proc.__int__()
        at = self.callback_begin_call(number, len(block), -(-out_bytes // 8) * 8)
        self.window[at : at + len(block)] = block
        status, at, _ = self.callback_call(timeout=timeout)
        if status:
            raise errors.from_errno(
                status, f"callback {number:#x} on {self.label}: the client answered {status}"
            )
        return bytes(self.window[at : at + out_bytes])

    def on_nested(self, handler: CallbackHandler | None) -> None:
        """Who serves what the client asks from inside a callback that `callback_call` waits for.

        Without it such a call ends `callback_call` with EDEADLK and is received like every other request.
        """
        self._core.on_nested(None if handler is None else _answering(handler))

    def check_hello(self, own: bytes, theirs: bytes) -> None:
        """Compare what both sides speak (generated ``hello()``; `theirs`: `info` of the channel or the session).

        Raises:
            VersionMismatch: EPROTONOSUPPORT; the channel is refused, the client sees the same.
        """
        self._core.check_hello(own, theirs)

    @property
    def info(self) -> bytes:
        """What the client gave when it created the channel."""
        return bytes(self._core.info)

    @property
    def call_given_up(self) -> bool:
        """True if the client no longer waits for the call that is being handled."""
        return bool(self._core.call_given_up)

    @property
    def callback_block_max(self) -> int:
        """The largest callback this channel takes, in bytes."""
        return int(self._core.callback_block_max)

    @property
    def callbacks_kept(self) -> int:
        """Callbacks kept back because the ring was full."""
        return int(self._core.callbacks_kept)

    def __iter__(self) -> Iterator[Any]:
        """Requests one by one until the client closes."""
        while True:
            try:
                batch = self.receive(timeout=None)
            except errors.PeerDied:
                return
            yield from batch


class Session(Closing):
    """A client application and a server application that talk. Any thread."""

    def __init__(self, core: Any, application: Any, timeout: float | None) -> None:
        self._core = core
        self._application = application
        self.timeout = timeout
        self.info: bytes = bytes(core.info)
        self.number: int = core.number
        self.role: str = core.role
        self.device: str = core.device
        #: The VM at the other end, and its application (server side).
        self.peer_vm: int = core.peer_vm
        self.peer_app: int = core.peer_app
        #: What generated servers keep for all channels of the session.
        self.shared: dict[str, Any] = {}

    def channel(
        self, info: bytes = b"", *, parameter_bytes: int = 0, timeout: Timeout = _UNSET
    ) -> ClientChannel:
        """Create a channel; waits until the server accepts it.

        Args:
            info: At most 480 bytes, handed to the server.
            parameter_bytes: Room for parameters; 0 asks for an eighth of ``vrpq-pmem``.
            timeout: Seconds; the channel keeps it as its default.

        Raises:
            PmemExhausted: ENOMEM; names the key to raise.
            PeerDied: EPIPE; the server is gone.
            DeadlineExceeded: ETIMEDOUT; nobody accepted.
        """
        limit = self.timeout if isinstance(timeout, _Unset) else timeout
        core = self._core.create_channel(parameter_bytes, info, limit, self._application)
        return ClientChannel(core, limit)

    def accept(self, *, timeout: Timeout = _UNSET) -> ServerChannel:
        """Accept the next channel of this session (server side)."""
        limit = self.timeout if isinstance(timeout, _Unset) else timeout
        return ServerChannel(self._core.accept_channel(limit, self._application), limit)

    @property
    def state(self) -> ChannelState:
        """OPEN, PEER_CLOSED, DEAD or CLOSED. An aborted session never comes back."""
        return ChannelState(self._core.state)

    def close(self) -> None:
        """Close the session and its channels. Idempotent."""
        self._core.close()

    def __repr__(self) -> str:
        return f"<rpq.Session {self.number} on {self.device}: {self.role}, {self.state.name}>"


class Device:
    """A vRPQ device of a VM, such as ``vogl0``: sessions are created on it, or accepted."""

    def __init__(self, application: Any, name: str, timeout: float | None) -> None:
        self._application = application
        self.name = name
        self.timeout = timeout

    def session(self, info: bytes = b"", *, timeout: Timeout = _UNSET) -> Session:
        """Create a session; waits for the link and for a server that accepts.

        Raises:
            NoSuchLink: ENODEV; lists the devices there are.
            DeadlineExceeded: ETIMEDOUT; no server accepted in time.
        """
        limit = self.timeout if isinstance(timeout, _Unset) else timeout
        core = self._application.create_session(f"vrpq-clt-{self.name}", info, limit)
        return Session(core, self._application, limit)

    def accept(self, *, timeout: Timeout = _UNSET) -> Session:
        """Accept a session (server side).

        Raises:
            PeerDied: EPIPE; the client VM died while we waited: accept again.
            DeadlineExceeded: ETIMEDOUT; nobody came.
        """
        limit = self.timeout if isinstance(timeout, _Unset) else timeout
        core = self._application.accept_session(f"vrpq-srv-{self.name}", limit)
        return Session(core, self._application, limit)

    def __repr__(self) -> str:
        return f"<rpq.Device {self.name} of VM {self._application.vm}>"


class Application(Closing):
    """This code's place in a VM: what a process of the VM holds of its guest kernel. Any thread."""

    def __init__(self, core: Any, timeout: float | None = DEFAULT_TIMEOUT) -> None:
        self._core = core
        self.timeout = timeout
        self._memory: Memory | None = None

    @property
    def vm(self) -> int:
        """The VM's id."""
        return int(self._core.vm)

    @property
    def id(self) -> int:
        """The application's id within its VM."""
        return int(self._core.id)

    def devices(self) -> list[str]:
        """Names of the devices under ``/dev``."""
        return str(self._core.devices()).split()

    def rpq(self, name: str) -> Device:
        """A vRPQ device by the name both sides use, e.g. ``vogl0``."""
        return Device(self._core, name.removeprefix("/dev/"), self.timeout)

    @property
    def memory(self) -> Memory:
        """Memory to grant to other VMs, and granted memory of theirs."""
        if self._memory is None:
            self._memory = Memory(_core.VmMemory(self._core), self.timeout)
        return self._memory

    def umem(self, name: str) -> umem.Device:
        """A vUmem device by the name both sides use, e.g. ``vogl0``."""
        from hyplink import umem

        return umem.Device(self._core, name.removeprefix("/dev/"), self.timeout)

    def dma(self) -> dma.Device:
        """A device of the VM that moves memory by itself. Close it when done. See `hyplink.dma`."""
        from hyplink import dma

        return dma.Device(self._core, self.timeout)

    def ion(self) -> ion.Ion:
        """The device ``vion``: buffers by global ids. Close it when done."""
        from hyplink import ion

        return ion.Ion(self._core, self.timeout)

    def pipe(
        self,
        name: str,
        mode: str = "r+",
        *,
        nonblock: bool = False,
        exclusive: bool = False,
        timeout: Timeout = _UNSET,
    ) -> pipes.Pipe:
        """Open a vBpipe or vPipe: ``vbpipe0``. Waits for the other VM to open it. See `hyplink.pipe.Pipe`."""
        from hyplink import pipe as pipes

        return pipes.Pipe(
            self._core,
            name,
            mode,
            nonblock=nonblock,
            exclusive=exclusive,
            timeout=self.timeout,
            open_timeout=self.timeout if isinstance(timeout, _Unset) else timeout,
        )

    def upipe(
        self, name: str, *, nonblock: bool = False, timeout: Timeout = _UNSET
    ) -> upipes.Upipe:
        """Open this VM's end of a vUpipe: ``vupipe0``. Waits for the other VM to open it. See `hyplink.upipe`."""
        from hyplink import upipe as upipes

        limit = self.timeout if isinstance(timeout, _Unset) else timeout
        return upipes.Upipe(
            self._core, name, nonblock=nonblock, timeout=self.timeout, open_timeout=limit
        )

    def rpc_client(self, name: str, *, over: int = 0, peer: int = 0) -> rpc.Client:
        """The calling end of a vRPC whose info starts with ``name``; `over`: how many such to pass over."""
        from hyplink import rpc

        return rpc.Client(self._core, name, self.timeout, over=over, peer=peer)

    def rpc_server(self, name: str, *, over: int = 0, peer: int = 0) -> rpc.Server:
        """The called end of a vRPC whose info starts with ``name``."""
        from hyplink import rpc

        return rpc.Server(self._core, name, self.timeout, over=over, peer=peer)

    def mq(self, name: str, tx: mq.Config | None = None, **options: Any) -> mq.Queue:
        """An end of a vMQ whose info starts with ``name``. The options are those of `mq.Queue`."""
        from hyplink import mq

        return mq.Queue(self._core, name, self.timeout, tx, **options)

    def thread(self, body: Callable[[], object]) -> threading.Thread:
        """Start a thread of this application. A seeded bench schedules it like every other task."""
        started = threading.Thread(target=body, daemon=True)
        started.start()
        return started

    def join(self, thread: threading.Thread) -> None:
        """Wait for a thread made by `thread`."""
        thread.join()

    @property
    def alive(self) -> bool:
        """False once the VM is gone or this application was closed."""
        try:
            self.devices()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Leave the VM: everything opened here is closed. Idempotent.

        What was granted is taken back when it returns.
        """
        if self._memory is not None:
            self._memory.close()
        self._core.close()

    def __repr__(self) -> str:
        return f"<Application {self.id} of VM {self.vm}>"


#: From handler, session, channel and table of buffers (if there is one) to the function that performs one request.
Bind = Callable[..., Callable[[Any], int]]


class _Server:
    """What `serve` returns: a guest that runs inside a VM. Picklable, so that it can go to another process."""

    def __init__(
        self,
        device: str,
        handler: Any,
        dispatch: Callable[[Any, Any], int],
        sessions: int | None,
        batch: int,
        bind: Bind | None,
        hello: bytes,
    ) -> None:
        self.bind = bind
        self.hello = hello
        self.device = device
        self.handler = handler
        self.dispatch = dispatch
        self.sessions = sessions
        self.batch = batch
        #: What its calls may name in vUmem: `buffers.ServerBuffers`, or None.
        self.buffers: Any = None

    def __call__(self, application: Application) -> int:
        """Serve until the VM stops (or `sessions` sessions were served); returns the requests handled."""
        device = application.rpq(self.device)
        handled: list[int] = []
        workers: list[threading.Thread] = []
        failures: list[BaseException] = []
        served = 0
        while self.sessions is None or served < self.sessions:
            try:
                session = device.accept(timeout=None)
            except errors.PeerDied:
                if application.alive:
                    continue  # the client VM died while nobody was there: wait for the next
                break
            except errors.HandleClosed:
                break
            served += 1
            work = functools.partial(self._serve_session, application, session, handled, failures)
            workers.append(application.thread(work))
            workers = [worker for worker in workers if worker.is_alive()]
        for worker in workers:
            application.join(worker)
        if failures:
            raise failures[0]
        return sum(handled)

    def _serve_session(
        self,
        application: Application,
        session: Session,
        handled: list[int],
        failures: list[BaseException],
    ) -> None:
        workers: list[threading.Thread] = []
        with session:
            try:
                while True:
                    channel = session.accept(timeout=None)
                    work = functools.partial(
                        self._serve_channel, session, channel, handled, failures
                    )
                    workers.append(application.thread(work))
            except _GONE:
                pass
            except BaseException as failure:  # handed to whoever asks for the guest's result
                failures.append(failure)
            for worker in workers:
                application.join(worker)

    def _serve_channel(
        self,
        session: Session,
        channel: ServerChannel,
        handled: list[int],
        failures: list[BaseException],
    ) -> None:
        try:
            with channel:
                if self._understands(session, channel):
                    handled.append(self.serve_channel(channel, session))
        except BaseException as failure:  # handed to whoever asks for the guest's result
            failures.append(failure)

    def _understands(self, session: Session, channel: ServerChannel) -> bool:
        """Whether this client can be served; one that did not say what it speaks can. Else it is refused."""
        try:
            for info in (session.info, channel.info) if self.hello else ():
                channel.check_hello(self.hello, info)
        except errors.VersionMismatch:
            return False
        return True

    def serve_channel(self, channel: ServerChannel, session: Session | None = None) -> int:
        """Handle the requests of one channel until its client is gone."""
        if self.bind is None:
            return self._perform_all(channel, functools.partial(self.dispatch, self.handler))
        if self.buffers is None:
            return self._perform_all(channel, self.bind(self.handler, session, channel))
        with self.buffers.table(session) as table:
            perform = self.bind(self.handler, session, channel, table)
            return self._perform_all(channel, perform)

    def _perform_all(self, channel: ServerChannel, perform: Callable[[Any], int]) -> int:
        handled = 0
        receive, set_reason = channel._core.receive, channel._core.set_reason

        def nested(request: Any) -> int:
            try:
                return perform(request)
            except errors.CorruptRing as broken:
                channel.fail(broken)
                return broken.errno or 0

        channel.on_nested(nested)
        with contextlib.suppress(*_GONE):
            while True:
                for request in receive(self.batch, None):
                    try:
                        status = perform(request)
                    except errors.CorruptRing as broken:
                        channel.fail(broken)
                        return handled
                    if request.is_call:
                        set_reason(status)
                    handled += 1
        return handled


#: How a server learns that there is nobody left to serve.
_GONE = (errors.PeerDied, errors.Cancelled, errors.HandleClosed)


def serve(
    device: str,
    handler: Any,
    dispatch: Callable[[Any, Any], int],
    *,
    sessions: int | None = None,
    batch: int = 64,
    bind: Bind | None = None,
    hello: bytes = b"",
) -> Callable[[Application], int]:
    """A guest that accepts sessions on `device` and hands every request to `handler`.

    Start it with ``bench.vm(2).start(serve(…))``. Sessions are served one after another; a request that breaks a
    decode rule closes its channel and nothing else.

    Args:
        device: ``vogl0``.
        handler: An instance of a generated handler class.
        dispatch: The generated module's ``dispatch``.
        sessions: Stop after so many sessions; None serves until the VM stops.
        batch: Most requests taken at a time.
        bind: Makes the function that performs one channel's requests, from handler, session and
            channel; without it ``dispatch`` is that function.
        hello: What the server speaks; a client that says something else gets VersionMismatch.
    """
    return _Server(device, handler, dispatch, sessions, batch, bind, hello)
