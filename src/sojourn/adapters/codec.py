"""Core values as plain JSON and back, by the types that their dataclasses state.

Instants become RFC 3339 with `Z`, spans integer microseconds, sets sorted lists. Reading is
strict: what has another type than its field is refused, because it was not written by us.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from sojourn.core.errors import Invalid
from sojourn.core.window import parse, show
from sojourn.ledger.canonical import canonical
from sojourn.ledger.errors import LedgerError

T = TypeVar("T")

_MICROSECOND: Final = timedelta(microseconds=1)
_fast: Final = msgspec.json.Encoder(order="sorted")


def to_bytes(plain: object, *, free: bool = False) -> bytes:
    """Plain JSON in the bytes of RFC 8785.

    `free` says that a person or another system chose some of the members: numbers may be
    fractions then, which the fast writer spells in its own way.

    Raises:
        Invalid: code `bad_record`; it holds what JSON cannot.
    """
    try:
        written = _fast.encode(plain)
        # Names beyond the BMP sort by UTF-16, not by code point; their bytes begin at 0xf0.
        plain_names = written.isascii() or max(written) < 0xF0
        return written if plain_names and not free else canonical(plain)
    except (LedgerError, UnicodeEncodeError) as error:
        raise Invalid("bad_record", "a record cannot be written as JSON") from error


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


Writer = Callable[[Any], Any]


def plain(value: object) -> Any:
    """`value` in what JSON knows: the members of a dataclass by name, and so on down.

    Raises:
        TypeError: a value that no record may hold.
    """
    return _writer(type(value))(value)


def _writer(kind: type) -> Writer:
    known = _WRITERS.get(kind)
    if known is None:
        known = _WRITERS[kind] = _new_writer(kind)
    return known


def _new_writer(kind: type) -> Writer:
    if issubclass(kind, StrEnum):
        return str
    if issubclass(kind, Mapping):
        return _plain_mapping
    if is_dataclass(kind):
        return _dataclass_writer(kind)
    raise TypeError(f"a record cannot hold `{kind.__name__}`")


def _dataclass_writer(kind: type) -> Writer:
    names = _names(kind)

    def write(value: Any) -> dict[str, Any]:
        return {name: _plain_member(getattr(value, name)) for name in names}

    return write


def _plain_member(value: Any) -> Any:
    kind = type(value)
    return value if kind in _AS_IS else _writer(kind)(value)


def _plain_mapping(value: Mapping[str, object]) -> dict[str, Any]:
    return {str(name): _plain_member(item) for name, item in value.items()}


def _plain_list(value: Iterable[object]) -> list[Any]:
    return [_plain_member(item) for item in value]


def _same(value: Any) -> Any:
    return value


_AS_IS: Final[frozenset[type]] = frozenset({str, int, bool, float, NoneType})
_WRITERS: Final[dict[type, Writer]] = {
    **dict.fromkeys(_AS_IS, _same),
    datetime: show,
    timedelta: lambda v: v // _MICROSECOND,
    tuple: _plain_list,
    list: _plain_list,
    frozenset: lambda v: sorted(_plain_list(v)),
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
    with _refusing(kind):
        return cast("T", reader_of(cast("Hashable", kind))(value))


def decode_members(kind: type, members: Mapping[str, object]) -> dict[str, object]:
    """Some members of the dataclass `kind`, each as the type of its field.

    Raises:
        Invalid: code `bad_record`.
    """
    with _refusing(kind):
        return _members(_readers(kind), members)


@contextmanager
def _refusing(kind: type) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, KeyError) as error:
        raise Invalid("bad_record", f"a stored `{kind.__name__}` has an unexpected member") from error


def _members(readers: Mapping[str, Reader], members: Mapping[str, object]) -> dict[str, object]:
    return {name: readers[name](item) for name, item in members.items()}


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
    readers = _readers(kind)

    def read(value: Any) -> object:
        return kind(**_members(readers, _of(dict, value)))

    return read


@cache
def _readers(kind: type) -> Mapping[str, Reader]:
    hints = get_type_hints(kind)
    return {name: reader_of(hints[name]) for name in _names(kind)}


def _text(value: object) -> str:
    if type(value) is not str:
        raise TypeError("expected text")
    return value


def _of(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


_READERS: Final[Mapping[Any, Reader]] = {
    str: _text,
    int: lambda v: _of(int, v),
    bool: lambda v: _of(bool, v),
    object: lambda v: v,
    datetime: lambda v: parse(_of(str, v)),
    timedelta: lambda v: timedelta(microseconds=_of(int, v)),
}
