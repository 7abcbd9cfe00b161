"""What an input device is: its name, ids, which events it has, the ranges of its axes."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from hyplink import errors
from hyplink.event import codes

__all__ = ["AbsInfo", "Properties", "keyboard", "mouse", "touchscreen"]

_AXES = 64
_HEAD = struct.Struct("<4H80s4s4s96s16s8s4s4s4s4s4s2i")
_AXIS = struct.Struct("<6i")
BYTES = _HEAD.size + _AXES * _AXIS.size


@dataclasses.dataclass(frozen=True)
class AbsInfo:
    """An axis: the device's units; `resolution` in units a millimetre."""

    minimum: int = 0
    maximum: int = 0
    value: int = 0
    fuzz: int = 0
    flat: int = 0
    resolution: int = 0


def _bits(codes_set: Iterable[int], size: int) -> bytes:
    field = 0
    for code in codes_set:
        if not 0 <= code < 8 * size:
            raise errors.BadArgument(22, f"code {code} of an input device: 0 to {8 * size - 1}")
        field |= 1 << code
    return field.to_bytes(size, "little")


def _codes(field: bytes) -> frozenset[int]:
    bits = int.from_bytes(field, "little")
    return frozenset(code for code in range(bits.bit_length()) if bits >> code & 1)


@dataclasses.dataclass(frozen=True)
class Properties:
    """A device as EVIOCGNAME, EVIOCGID, EVIOCGPROP, EVIOCGBIT, EVIOCGABS and EVIOCGREP describe it."""

    name: str = ""
    keys: frozenset[int] = frozenset()
    relative: frozenset[int] = frozenset()
    axes: Mapping[int, AbsInfo] = dataclasses.field(default_factory=dict)
    switches: frozenset[int] = frozenset()
    leds: frozenset[int] = frozenset()
    misc: frozenset[int] = frozenset()
    sounds: frozenset[int] = frozenset()
    force: frozenset[int] = frozenset()
    props: frozenset[int] = frozenset()
    #: Delay and period of automatic repetition, milliseconds; None: the device has none.
    repeat: tuple[int, int] | None = None
    bustype: int = codes.BUS_VIRTUAL
    vendor: int = 0
    product: int = 0
    version: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", MappingProxyType(dict(self.axes)))
        if len(self.name.encode()) > 79:
            raise errors.BadArgument(
                22, f"name of an input device: {self.name!r} has over 79 bytes"
            )

    @property
    def types(self) -> frozenset[int]:
        """The types of events it has, `EV_SYN` included."""
        has = {
            codes.EV_KEY: self.keys,
            codes.EV_REL: self.relative,
            codes.EV_ABS: self.axes,
            codes.EV_MSC: self.misc,
            codes.EV_SW: self.switches,
            codes.EV_LED: self.leds,
            codes.EV_SND: self.sounds,
            codes.EV_FF: self.force,
            codes.EV_REP: self.repeat,
        }
        return frozenset({codes.EV_SYN, *(number for number, some in has.items() if some)})

    def pack(self) -> bytes:
        """The form that travels between VMs."""
        head = _HEAD.pack(
            self.bustype,
            self.vendor,
            self.product,
            self.version,
            self.name.encode(),
            _bits(self.props, 4),
            _bits(self.types, 4),
            _bits(self.keys, 96),
            _bits(self.force, 16),
            _bits(self.axes, 8),
            _bits(self.relative, 4),
            _bits(self.switches, 4),
            _bits(self.misc, 4),
            _bits(self.leds, 4),
            _bits(self.sounds, 4),
            *(self.repeat or (0, 0)),
        )
        none = AbsInfo()
        infos = (self.axes.get(axis, none) for axis in range(_AXES))
        return head + b"".join(
            _AXIS.pack(i.value, i.minimum, i.maximum, i.fuzz, i.flat, i.resolution) for i in infos
        )

    @classmethod
    def unpack(cls, data: bytes) -> Properties:
        """The inverse of `pack`.

        Raises:
            BadArgument: EINVAL; of another size.
        """
        if len(data) != BYTES:
            raise errors.BadArgument(22, f"properties of {len(data)} bytes: they have {BYTES}")
        bustype, vendor, product, version, name, *fields, delay, period = _HEAD.unpack_from(data)
        props, types, keys, force, axes, relative, switches, misc, leds, sounds = map(
            _codes, fields
        )
        infos = list(_AXIS.iter_unpack(data[_HEAD.size :]))
        return cls(
            name.partition(b"\0")[0].decode(errors="replace"),
            keys,
            relative,
            {
                axis: AbsInfo(infos[axis][1], infos[axis][2], infos[axis][0], *infos[axis][3:])
                for axis in axes
            },
            switches,
            leds,
            misc,
            sounds,
            force,
            props,
            (delay, period) if codes.EV_REP in types else None,
            bustype,
            vendor,
            product,
            version,
        )


def keyboard(name: str = "hyplink keyboard") -> Properties:
    """A keyboard of 104 keys with three LEDs, which repeats after 250 ms every 33 ms."""
    return Properties(
        name,
        keys=frozenset(range(1, 120)),
        leds=frozenset({codes.LED_NUML, codes.LED_CAPSL, codes.LED_SCROLLL}),
        misc=frozenset({codes.MSC_SCAN}),
        repeat=(250, 33),
    )


def mouse(name: str = "hyplink mouse") -> Properties:
    """Three buttons and a wheel."""
    return Properties(
        name,
        keys=frozenset({codes.BTN_LEFT, codes.BTN_RIGHT, codes.BTN_MIDDLE}),
        relative=frozenset({codes.REL_X, codes.REL_Y, codes.REL_WHEEL}),
        props=frozenset({codes.INPUT_PROP_POINTER}),
    )


def touchscreen(
    name: str = "hyplink touchscreen", width: int = 1920, height: int = 1080, touches: int = 10
) -> Properties:
    """A screen of so many points that follows so many fingers."""
    x, y = AbsInfo(0, width - 1), AbsInfo(0, height - 1)
    return Properties(
        name,
        keys=frozenset({codes.BTN_TOUCH}),
        axes={
            codes.ABS_X: x,
            codes.ABS_Y: y,
            codes.ABS_MT_SLOT: AbsInfo(0, touches - 1),
            codes.ABS_MT_POSITION_X: x,
            codes.ABS_MT_POSITION_Y: y,
            codes.ABS_MT_TRACKING_ID: AbsInfo(0, 65535),
        },
        props=frozenset({codes.INPUT_PROP_DIRECT}),
    )
