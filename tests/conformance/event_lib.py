"""What the tests of vEvent share: a board with one input and two readers, and how they are joined."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import hyplink
from hyplink import event

BOARD = """
&vm2_vdevs {
    a: vevent@a { compatible = "vevent"; info = "vkp"; server; };
    b: vevent@b { compatible = "vevent"; info = "vkp"; server; };
    c: vevent@c { compatible = "vevent"; info = "vkp-other"; server; };
};
&vm3_vdevs {
    vevent@a { peer-phandle = <&a>; client; };
    vevent@c { peer-phandle = <&c>; client; };
};
&vm4_vdevs { vevent@b { peer-phandle = <&b>; client; }; };
"""
DEVICE = event.Properties(
    "Test panel",
    keys=frozenset(range(1, 64)) | {event.BTN_TOUCH},
    axes={
        event.ABS_X: event.AbsInfo(0, 999, 5),
        event.ABS_MT_SLOT: event.AbsInfo(0, 3),
        event.ABS_MT_POSITION_X: event.AbsInfo(0, 999),
        event.ABS_MT_TRACKING_ID: event.AbsInfo(0, 65535),
    },
    switches=frozenset({event.SW_LID}),
    repeat=(250, 33),
    bustype=3,
    vendor=0x1234,
    product=0x5678,
    version=9,
)
Word = tuple[int, int, int]
#: Back end, VM 3's front end, VM 4's.
Ends = tuple[event.BackEnd, event.FrontEnd, event.FrontEnd]
REPORT: Word = (event.EV_SYN, event.SYN_REPORT, 0)
DROPPED: Word = (event.EV_SYN, event.SYN_DROPPED, 0)


def key(code: int, value: int) -> Word:
    return (event.EV_KEY, code, value)


def back_end(bench: hyplink.Bench, **options: object) -> event.BackEnd:
    return bench.vm(2).event_backend("vkp", DEVICE, **options)


def words(events: list[event.InputEvent]) -> list[Word]:
    return [(e.type, e.code, e.value) for e in events]


def all_of(front: event.FrontEnd) -> list[Word]:
    """What is there now."""
    found: list[Word] = []
    while events := front.try_read(7):
        found += words(events)
    return found


def send(back: event.BackEnd, *events: Word) -> None:
    for one in events:
        back.emit(*one)
    back.sync()


@contextlib.contextmanager
def all_on(bench: hyplink.Bench) -> Iterator[Ends]:
    """Both front ends are there, and the back end knows it."""
    with (
        back_end(bench) as back,
        bench.vm(3).event("vkp") as three,
        bench.vm(4).event("vkp") as four,
    ):
        back.wait_front(3)
        back.wait_front(4)
        yield back, three, four


class Follower:
    """Reads one by one, and finds presses of what is down and releases of what is up."""

    def __init__(self, front: event.FrontEnd) -> None:
        self.front, self.down = front, set[int]()

    def see(self, one: event.InputEvent) -> bool:
        """Whether it is a press."""
        if (one.type, one.code) == DROPPED[:2]:
            self.down = set(self.front.pressed())
        if one.type != event.EV_KEY:
            return False
        assert (one.code in self.down) != bool(one.value)
        (self.down.add if one.value else self.down.discard)(one.code)
        return bool(one.value)

    def until_a_press(self) -> None:
        while not self.see(self.front.read(1)[0]):
            pass

    def rest(self) -> None:
        while got := self.front.try_read(1):
            self.see(got[0])
