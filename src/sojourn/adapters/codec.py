"""Core values as plain JSON and back, by the types that their dataclasses state.

Instants become RFC 3339 with `Z`, spans integer microseconds, sets sorted lists. Reading is
strict: what has another type than its field is refused, because it was not written by us.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from sojourn.core.errors import Invalid
from sojourn.core.window import parse, show

T = TypeVar("T")

_MICROSECOND: Final = timedelta(microseconds=1)
_encoder: Final = msgspec.json.Encoder(order="sorted")


def _canonical(plain: object) -> bytes:
    # Stands in for RFC 8785: the same bytes but for floats and for names beyond the BMP.
    return _encoder.encode(plain)


def to_bytes(plain: object) -> bytes:
    """Plain JSON in canonical bytes."""
    return _canonical(plain)


def from_bytes(raw: bytes | str) -> Mapping[str, object]:
    """A JSON object out of what was stored.

    Raises:
        Invalid: code `bad_record`.
    """
    try:
        return msgspec.json.decode(raw, type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise Invalid("bad_record", "a stored record is no JSON object") from error


# -- out -----------------------------------------------------------------------------------


def plain(value: object) -> object:
    """`value` in what JSON knows: the members of a dataclass by name, and so on down.

    Raises:
        TypeError: a value that no record may hold.
    """
    writer = _WRITERS.get(type(value))
    if writer is not None:
        return writer(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return _plain_mapping(value)
    if is_dataclass(value):
        return {name: plain(getattr(value, name)) for name in _names(_class(value))}
    raise TypeError(f"a record cannot hold `{type(value).__name__}`")


def _class(value: object) -> Any:
    return type(value)


def _plain_mapping(value: Mapping[str, object]) -> object:
    return {str(name): plain(item) for name, item in value.items()}


_WRITERS: Final[Mapping[type, Callable[[Any], object]]] = {
    str: lambda v: v,
    int: lambda v: v,
    bool: lambda v: v,
    float: lambda v: v,
    NoneType: lambda v: v,
    datetime: show,
    timedelta: lambda v: v // _MICROSECOND,
    tuple: lambda v: [plain(item) for item in v],
    list: lambda v: [plain(item) for item in v],
    frozenset: lambda v: sorted(cast("list[str]", [plain(item) for item in v])),
    dict: _plain_mapping,
}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


# -- in ------------------------------------------------------------------------------------

Reader = Callable[[Any], Any]


def decode(kind: type[T], value: object) -> T:
    """The dataclass `kind` out of its plain form; members it does not know are refused.

    Raises:
        Invalid: code `bad_record`.
    """
    return cast("T", _guarded(reader_of(cast("Hashable", kind)), value))


def decode_members(kind: type, members: Mapping[str, object]) -> dict[str, object]:
    """Some members of the dataclass `kind`, each as the type of its field.

    Raises:
        Invalid: code `bad_record`.
    """
    readers = _readers(kind)
    if unknown := members.keys() - readers.keys():
        raise Invalid("bad_record", f"`{kind.__name__}` has no member `{min(unknown)}`")
    return {name: _guarded(readers[name], item) for name, item in members.items()}


def _guarded(reader: Reader, value: object) -> object:
    try:
        return reader(value)
    except (TypeError, ValueError, KeyError) as error:
        raise Invalid("bad_record", "a stored record has a member of an unexpected type") from error


@cache
def reader_of(hint: Any) -> Reader:
    """What reads a value of the annotated type."""
    if isinstance(hint, NewType):
        return reader_of(hint.__supertype__)
    if hint in _READERS:
        return _READERS[hint]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint
    if is_dataclass(hint):
        return _dataclass_reader(cast("type", hint))
    return _generic_reader(get_origin(hint), get_args(hint))


def _generic_reader(origin: Any, inner: tuple[Any, ...]) -> Reader:
    if origin in (Union, UnionType):
        chosen = [reader_of(arg) for arg in inner if arg is not NoneType]
        if len(chosen) == 1:
            return lambda v: None if v is None else chosen[0](v)
    if origin in (tuple, frozenset):
        build, item = cast("Callable[[Any], object]", origin), reader_of(inner[0])
        return lambda v: build(item(each) for each in _of(list, v))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        member = reader_of(inner[1])
        return lambda v: {name: member(each) for name, each in _of(dict, v).items()}
    raise TypeError(f"no reader for `{origin}`")


def _dataclass_reader(kind: type) -> Reader:
    def read(value: Any) -> object:
        return kind(**decode_members(kind, _of(dict, value)))

    return read


@cache
def _readers(kind: type) -> Mapping[str, Reader]:
    hints = get_type_hints(kind)
    return {name: reader_of(hints[name]) for name in _names(kind)}


def _of(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


_READERS: Final[Mapping[Any, Reader]] = {
    str: lambda v: _of(str, v),
    int: lambda v: _of(int, v),
    bool: lambda v: _of(bool, v),
    object: lambda v: v,
    datetime: lambda v: parse(_of(str, v)),
    timedelta: lambda v: timedelta(microseconds=_of(int, v)),
}
