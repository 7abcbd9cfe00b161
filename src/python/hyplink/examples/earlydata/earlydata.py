"""Early data, the sample driver of a vlink: a page of shared memory and an interrupt each way.

    bench.vm(2).start(earlydata.run)
    bench.vm(3).start(earlydata.run)

or, as a program that a VM runs: ``python -m hyplink.examples.earlydata.earlydata [--rounds N] [--lives N] [--fd FD]``.

Runs in either VM of the board ``earlydata``; the descriptors say which side it is. Whenever the link comes up the
client sends `rounds` numbered requests and the server answers each. Either side may be killed and started again.

``earlydata.c`` beside this file is the same in C; the two talk to each other.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
from collections.abc import Callable

from hyplink.nkddi import Nkddi, Vlink, connect
from hyplink.rpq import Application

MAGIC, VERSION, DATA = 0x594C5245, 1, 224
#: One side's half of the shared memory: magic, version, sequence, length, checksum, reserved, data.
HALF = struct.Struct(f"<5I12x{DATA}s")
XIRQ_OF_SERVER, XIRQ_OF_CLIENT = 0, 1


def checksum(sequence: int, data: bytes) -> int:
    """FNV-1a of sequence, length and data."""
    total = 2166136261
    for byte in struct.pack("<II", sequence, len(data)) + data:
        total = (total ^ byte) * 16777619 & 0xFFFFFFFF
    return total


class Early:
    """One vlink of the class ``vearlydata``."""

    def __init__(self, nk: Nkddi, vlink: Vlink, rounds: int, say: Callable[[str], object]) -> None:
        self.nk, self.vlink, self.rounds, self.say = nk, vlink, rounds, say
        self.server = vlink.s_id == nk.id
        self.sequence = 0
        self.lives = 0
        memory = vlink.pmem(0, 2 * HALF.size)
        halves = memory[: HALF.size], memory[HALF.size :]
        self.mine, self.theirs = halves if self.server else halves[::-1]
        numbers = vlink.pxirq(XIRQ_OF_SERVER, vlink.s_id), vlink.pxirq(XIRQ_OF_CLIENT, vlink.c_id)
        own, self.peer_xirq = numbers if self.server else numbers[::-1]
        nk.attach(own, self.on_data)
        self.driver = vlink.driver(reset=self.reset, up=self.up, down=self.down)
        say(f"VM {nk.id} is the {vlink.role} of VM {vlink.peer}")

    def reset(self) -> None:
        """Clear the own half."""
        self.mine[:] = HALF.pack(MAGIC, VERSION, 0, 0, 0, b"")
        self.sequence = 0

    def up(self) -> None:
        """Both sides are ON."""
        self.say("up")
        if not self.server:
            self.send(1, "request")

    def down(self) -> None:
        """The peer is gone, or we end."""
        self.say("down")
        self.lives += 1

    def send(self, sequence: int, what: str) -> None:
        """Write the own half and interrupt the peer."""
        data = f"{what} {sequence} of VM {self.nk.id}".encode()
        self.mine[:] = HALF.pack(
            MAGIC, VERSION, sequence, len(data), checksum(sequence, data), data
        )
        self.sequence = sequence
        self.nk.trigger(self.peer_xirq, self.vlink.peer)

    def on_data(self, _number: int) -> None:
        """The peer has written. What it wrote is copied once, checked, then used."""
        self.driver.step()  # it may be heard before the SYSCONF that told of its coming up
        if (self.vlink.s_state, self.vlink.c_state) != ("ON", "ON"):
            return
        magic, version, sequence, length, total, data = HALF.unpack(bytes(self.theirs))
        data = data[:length]
        if (
            (magic, version) != (MAGIC, VERSION)
            or length > DATA
            or total != checksum(sequence, data)
        ):
            return  # not whole yet, or from before a restart: its interrupt comes again
        if self.server:
            if sequence == self.sequence + 1:
                self.send(sequence, "answer")
        elif sequence == self.sequence:
            if sequence < self.rounds:
                self.send(sequence + 1, "request")
            else:
                self.say(f'exchanged {self.rounds}, last "{data.decode()}"')


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def run(
    application: Application,
    *,
    rounds: int = 10,
    lives: int | None = None,
    say: Callable[[str], object] = _print,
) -> int:
    """Drive every ``vearlydata`` vlink of the VM until its link was down `lives` times; returns the lives."""
    with Nkddi(application) as nk:
        links = [Early(nk, vlink, rounds, say) for vlink in nk.vlinks("vearlydata")]
        for early in links:
            early.driver.step()
        while lives is None or sum(early.lives for early in links) < lives:
            nk.dispatch(timeout=None)
        return sum(early.lives for early in links)


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description="The sample driver of a vlink.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--lives", type=int)
    parser.add_argument("--fd", type=int, default=1)
    words = parser.parse_args()
    with connect() as application:
        run(
            application,
            rounds=words.rounds,
            lives=words.lives,
            say=lambda line: os.write(words.fd, f"{line}\n".encode()),
        )


if __name__ == "__main__":
    main()
