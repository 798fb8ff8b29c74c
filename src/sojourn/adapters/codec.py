"""Core values as plain JSON and back, by the types that their dataclasses state.

Instants become RFC 3339 with `Z`, spans integer microseconds, sets sorted lists. Reading is
strict: what has another type than its field is refused, because it was not written by us.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache, partial
from threading import Lock
from types import NoneType, UnionType
from typing import Any, Final, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from sojourn.core.errors import Invalid
from sojourn.core.window import parse
from sojourn.ledger.canonical import canonical
from sojourn.ledger.errors import LedgerError

T = TypeVar("T")

_MICROSECOND: Final = timedelta(microseconds=1)
_LEARNING: Final = Lock()
_NOTHING: Final = ("no value of any type of ours",)
_WITHIN_BMP: Final = bytes(range(0xF0))
_SECONDS: Final = len("2026-11-02T09:00:00")
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
        plain_names = written.isascii() or not written.translate(None, _WITHIN_BMP)
        # Read again, because only then there are no tuples in it, which the slow writer does not know.
        return written if plain_names and not free else canonical(msgspec.json.decode(written))
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


def shown(instant: datetime) -> str:
    """What `show` writes, several times faster: a record holds many instants."""
    text: str = msgspec.to_builtins(instant)
    return text if text[_SECONDS] == "." else f"{text[:_SECONDS]}.000000{text[_SECONDS:]}"


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
    own = [name for name, hint in _hints(kind).items() if _is_ours(hint)]

    def write(value: Any) -> dict[str, Any]:
        members: dict[str, Any] = msgspec.to_builtins(value)
        for name in own:
            members[name] = _plain_member(getattr(value, name))
        return members

    return write


@cache
def _is_ours(hint: Any) -> bool:
    """Whether the library spells a value of the annotated type in another way than we do."""
    if isinstance(hint, NewType):
        return _is_ours(hint.__supertype__)
    if is_dataclass(hint):
        return any(_is_ours(member) for member in _hints(cast("type", hint)).values())
    if hint in (datetime, timedelta, object):
        return True
    origin = get_origin(hint)
    return origin in (frozenset, Mapping) or any(_is_ours(arg) for arg in get_args(hint))


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
    datetime: shown,
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
        return cast("T", _reader(cast("Hashable", kind))(value))


def decode_members(kind: type, members: Mapping[str, object]) -> dict[str, object]:
    """Some members of the dataclass `kind`, each as the type of its field.

    Raises:
        Invalid: code `bad_record`.
    """
    hints = _hints(kind)
    with _refusing(kind):
        return {name: _reader(hints[name])(item) for name, item in members.items()}


@contextmanager
def _refusing(kind: type) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, KeyError, msgspec.ValidationError) as error:
        raise Invalid("bad_record", f"a stored `{kind.__name__}` has an unexpected member") from error


@cache
def _reader(hint: Any) -> Reader:
    """What reads a value of the annotated type: first what is ours, then the library converts.

    The library shows other threads what it knows of a type before it knows all of it, and a
    thread that looks then takes the process down: it learns each type here, one at a time.
    """
    ready = _readied(hint) or _same
    convert = partial(msgspec.convert, type=hint, builtin_types=(datetime, timedelta))
    with _LEARNING, suppress(msgspec.ValidationError):
        convert(_NOTHING)
    return lambda v: convert(ready(v))


@cache
def _readied(hint: Any) -> Reader | None:
    """What makes a plain value ready to be converted; None where it is so already.

    Instants and spans are spelled in our way, and dataclasses refuse what they do not know;
    all else the library checks by itself.
    """
    if isinstance(hint, NewType):
        return _readied(hint.__supertype__)
    if is_dataclass(hint):
        return _readied_dataclass(cast("type", hint))
    return _READIED[hint] if hint in _READIED else _readied_generic(get_origin(hint), get_args(hint))


def _readied_generic(origin: Any, inner: tuple[Any, ...]) -> Reader | None:
    chosen = [ready for arg in inner if arg is not NoneType and (ready := _readied(arg))]
    if not chosen:
        return None
    ready = chosen[-1]
    if origin in (Union, UnionType) and len(inner) == 2:
        return lambda v: None if v is None else ready(v)
    if origin in (tuple, frozenset):
        return lambda v: [ready(each) for each in _of(list, v)]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda v: {name: ready(each) for name, each in _of(dict, v).items()}
    raise TypeError(f"no reader for `{origin}`")


def _readied_dataclass(kind: type) -> Reader:
    hints = _hints(kind)
    names = frozenset(hints)
    own = [(name, ready) for name, hint in hints.items() if (ready := _readied(hint))]

    def read(value: Any) -> object:
        if not names.issuperset(_of(dict, value)):
            raise TypeError(f"unknown members of {kind.__name__}")
        members = value.copy()
        for name, ready in own:
            if (item := members.get(name)) is not None:
                members[name] = ready(item)
        return members

    return read


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {name: hints[name] for name in _names(kind)}


def _of(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


_READIED: Final[Mapping[Any, Reader | None]] = {
    **dict.fromkeys((str, int, bool, float, object, NoneType, Ellipsis)),
    datetime: lambda v: parse(_of(str, v)),
    timedelta: lambda v: _of(int, v) * _MICROSECOND,
}
