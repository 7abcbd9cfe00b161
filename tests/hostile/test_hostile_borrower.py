"""A vUmem client that keeps a buffer mapped twice, by a descriptor and in a child, when its server takes it back."""

from __future__ import annotations

import contextlib
import mmap
import sys
from pathlib import Path

import pytest
from borrower_acts import Borrower, Lender, memory_of

import hyplink
from hyplink import errors, umem
from hyplink.testing import eventually

sys.path.insert(0, str(Path(__file__).parents[1]))  # for told_programs
from told_programs import PATIENCE, Told

pytestmark = pytest.mark.hyplink_backend("process")
PAGES = 4
NBYTES = PAGES * mmap.PAGESIZE

MEMORY = ("made for it", "adopted")
ENDS = ("freed", "server closes", "server's application leaves", "server's VM dies")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", MEMORY)
def test_what_was_taken_back_shows_nothing_and_takes_nothing(
    bench: hyplink.Bench, kind: str, end: str
) -> None:
    application = bench.vm(2).application()
    application.timeout = PATIENCE
    server = application.umem("vogl0").server()
    memory = memory_of(kind, NBYTES)
    mine = memoryview(memory)
    mine[:] = b"\x05" * NBYTES
    borrower = Told(bench, 3, Borrower)
    borrower("session")
    borrower.begin("borrow")
    server.receive()
    server.respond(memory)
    assert borrower.end() == NBYTES
    kept = borrower("keep")
    assert {"view", "child"} <= set(kept)
    assert set(map(tuple, borrower("sees").values())) == {(5,)}
    if end == "freed":
        borrower.begin("give_back")
        while True:
            request = server.receive()
            server.respond()
            if request.command is umem.Command.FREE:
                break
        borrower.end()
    elif end == "server closes":
        server.close()
    elif end == "server's application leaves":
        application.close()
    else:
        bench.vm(2).kill()
    if end != "server's VM dies":
        assert bytes(mine) == b"\x05" * NBYTES  # the server's data are its own
        mine[:] = b"\x06" * NBYTES
    assert set(map(tuple, borrower("sees").values())) == {(0,)}
    borrower("writes", 7)
    if end != "server's VM dies":
        assert bytes(mine) == b"\x06" * NBYTES
    borrower("finish")
    borrower.kill()
    server.close()
    application.close()


@pytest.mark.parametrize("kind", MEMORY)
def test_what_a_server_had_lent_that_was_killed_shows_nothing(
    bench: hyplink.Bench, kind: str
) -> None:
    lender = Told(bench, 2, Lender)
    borrower = Told(bench, 3, Borrower)
    borrower("session")
    borrower.begin("borrow")
    lender("lend", kind, NBYTES)
    assert borrower.end() == NBYTES
    assert {"view", "child"} <= set(borrower("keep"))
    assert set(map(tuple, borrower("sees").values())) == {(5,)}
    lender.kill()
    device = bench.vm(2).umem("vogl0")
    servers: list[umem.Server] = []

    def next_server() -> bool:
        """There is one once the last has been taken leave of, and not before."""
        with contextlib.suppress(errors.Busy):
            servers.append(device.server())
        return bool(servers)

    eventually(bench, next_server, timeout=PATIENCE)
    assert set(map(tuple, borrower("sees").values())) == {(0,)}
    borrower("finish")
    borrower.kill()
    servers[0].close()
