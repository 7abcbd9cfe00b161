"""vEvent: the events of one VM's input device, read by other VMs.

    keys = event.keyboard("vkp")                         # what the device is; or event.Device("/dev/input/event3")
    with vm2.event_backend("vkp", keys, focus=3) as back:
        back.key(event.KEY_A)                            # pressed and released: two packets
        back.emit(event.EV_KEY, event.KEY_A, 1)          # or by hand
        back.sync()
        back.focus = 4                                   # VM 3 gets the releases of what it saw pressed

    with vm3.event("vkp") as front:                      # waits for the back end
        print(front.properties.name, front.pressed())
        for e in front:                                  # `async for` works as well; ends with the back end
            print(e.type, e.code, e.value, e.time)
        front.read_bytes()                               # the kernel's `struct input_event`s

A front end that does not read loses whole packets, which both sides count; where they are missing it reads SYN_DROPPED,
and `pressed`, `axis` and the others are right from there on.

Source: DV-0024 4.5; MODEL in src/README.md.
"""

from __future__ import annotations

from hyplink.event.back import EVERYBODY, NOBODY, BackEnd
from hyplink.event.codes import *  # noqa: F403
from hyplink.event.form import InputEvent
from hyplink.event.front import FrontEnd
from hyplink.event.properties import AbsInfo, Properties, keyboard, mouse, touchscreen
from hyplink.event.sources import Device, Recording, Source, find, record, typing

__all__ = [
    "EVERYBODY",
    "NOBODY",
    "AbsInfo",
    "BackEnd",
    "Device",
    "FrontEnd",
    "InputEvent",
    "Properties",
    "Recording",
    "Source",
    "find",
    "keyboard",
    "mouse",
    "record",
    "touchscreen",
    "typing",
]
