"""``dataclass`` and ``field`` without the import of ``dataclasses``.

That module and the classes it makes cost a check of a file more than the check itself. What is made
here has ``__slots__``, an ``__init__`` and a ``__repr__``, compares by identity, and is a dataclass
to ``dataclasses`` as soon as somebody asks (``asdict``, ``fields``, ``replace``).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass, field
else:

    class _Factory:
        __slots__ = ("make",)

        def __init__(self, make):
            self.make = make

    def field(*, default_factory):
        return _Factory(default_factory)

    class _Fields:
        """``__dataclass_fields__``, made when it is looked at."""

        def __init__(self, defaults):
            self._defaults = defaults
            self._made = None

        def __get__(self, instance, owner):
            if self._made is None:
                import dataclasses

                made = {}
                for name, default in self._defaults.items():
                    if isinstance(default, _Factory):
                        item = dataclasses.field(default_factory=default.make)
                    elif default is _NONE:
                        item = dataclasses.field()
                    else:
                        item = dataclasses.field(default=default)
                    item.name, item.type = name, owner.__annotations__[name]
                    item._field_type = dataclasses._FIELD
                    item.kw_only = False
                    made[name] = item
                self._made = made
            return self._made

    _NONE = object()

    def _repr(self):
        inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({inside})"

    def dataclass(*, slots, eq=True, repr=True):  # noqa: ARG001
        """Only what this package uses: slots, and (for the model) a representation."""

        def make(cls):
            names = list(cls.__annotations__)
            body = {k: v for k, v in vars(cls).items() if k not in ("__dict__", "__weakref__")}
            defaults = {name: body.pop(name, _NONE) for name in names}
            body["__slots__"] = tuple(names)
            body["__init__"] = _init(defaults)
            if repr:
                body["__repr__"] = _repr
            body["__dataclass_fields__"] = _Fields(defaults)
            body["__match_args__"] = tuple(names)
            return type(cls)(cls.__name__, cls.__bases__, body)

        return make

    def _init(defaults):
        space = {}
        params, lines = ["self"], []
        for name, default in defaults.items():
            value = name
            if default is _NONE:
                params.append(name)
            elif isinstance(default, _Factory):
                space[f"_make_{name}"] = default.make
                space["_none"] = _NONE
                params.append(f"{name}=_none")
                value = f"_make_{name}() if {name} is _none else {name}"
            else:
                space[f"_default_{name}"] = default
                params.append(f"{name}=_default_{name}")
            lines.append(f" self.{name}={value}")
        exec(f"def __init__({','.join(params)}):\n" + "\n".join(lines), space)
        return space["__init__"]


__all__ = ["dataclass", "field"]
