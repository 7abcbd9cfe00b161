"""What a hostile peer might write: both languages agree, and accepted means safe."""

from __future__ import annotations

import random
import types
from collections.abc import Callable

from idl_wirelib import decode
from test_idl_wire import VECTORS, procedure_of

Driver = Callable[[str], list[str]]


def mutate(rng: random.Random, block: bytes) -> bytes:
    data = bytearray(block)
    for _ in range(rng.randint(1, 3)):
        what = rng.randrange(6)
        at = rng.randrange(len(data)) if data else 0
        if what == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1 and data:
            data[at] = rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF])
        elif what == 2:
            at &= ~3
            data[at : at + 4] = rng.choice(
                [0, 1, 8, 16, 0xFFFFFFFF, 0x80000000, len(data)]
            ).to_bytes(4, "little")
        elif what == 3:
            del data[len(data) - min(len(data), 8 * rng.randint(1, 3)) :]
        elif what == 4:
            data += bytes(8 * rng.randint(1, 3))
        else:
            data += rng.randbytes(rng.choice([1, 4, 8]))
    return bytes(data)


def test_mutated_blocks_get_the_same_answer_in_both_languages(
    everything: types.ModuleType, driver: Driver
) -> None:
    rng = random.Random(20_240_229)
    lines, expected = [], []
    for line in VECTORS.read_text().splitlines():
        name, _, text = line.partition(" ")
        if text.startswith("error"):
            continue
        proc, is_call = procedure_of(everything, name)
        good = b"" if text == "-" else bytes.fromhex(text)
        for _ in range(60):
            block = mutate(rng, good)
            lines.append(f"d {proc:x} {int(is_call)} 64 {block.hex() or '-'}")
            expected.append(decode(everything, proc, is_call, 64, block))
    answers = driver("\n".join(lines) + "\n")
    different = [t for t in zip(lines, expected, answers, strict=True) if t[1] != t[2]]
    assert not different, different[:3]
    accepted = [e for e in expected if e.startswith("ok")]
    assert len(accepted) > 20, "the mutations never hit a good block: the test shows nothing"
    assert all(e.endswith(" 1") for e in accepted), "an accepted block has two encodings"


def test_random_blocks_never_do_more_than_be_refused(
    everything: types.ModuleType, driver: Driver
) -> None:
    rng = random.Random(7)
    lines, expected = [], []
    for proc, info in everything.everything_procedures.items():
        for _ in range(20):
            block = rng.randbytes(8 * rng.randrange(12))
            room = 8 * rng.randrange(64)
            lines.append(f"d {proc:x} {int(info.is_call)} {room} {block.hex() or '-'}")
            expected.append(decode(everything, proc, info.is_call, room, block))
    assert driver("\n".join(lines) + "\n") == expected
