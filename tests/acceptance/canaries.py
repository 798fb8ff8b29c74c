"""Secrets that a test knows, and the search for them in whatever form they might have leaked."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

SHORTEST: Final = 12  # bytes; anything shorter would be found by chance
_SIX, _EIGHT = 6, 8


@dataclass
class Canaries:
    """Secrets by name."""

    values: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, value: str | bytes) -> None:
        """Watch for one more secret."""
        raw = value.encode() if isinstance(value, str) else value
        assert len(raw) >= SHORTEST, name
        self.values[name] = raw

    def found_in(self, content: bytes, *, but: frozenset[str] = frozenset()) -> list[str]:
        """The names and forms of the secrets that stand in `content`."""
        return [
            f"{name} ({form})"
            for name, value in self.values.items()
            if name not in but
            for form, shape in forms(value)
            if shape in content
        ]


def forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    """How a value may be written: as it is, quoted, in hex, in both base64 alphabets at any offset."""
    yield "raw", value
    yield "quoted", quote(value, safe="").encode()
    yield "hex", value.hex().encode()
    yield "HEX", value.hex().upper().encode()
    yield from _sixty_four("base64", value, base64.b64encode)
    yield from _sixty_four("base64url", value, base64.urlsafe_b64encode)


def _sixty_four(name: str, value: bytes, encode: Callable[[bytes], bytes]) -> Iterator[tuple[str, bytes]]:
    for offset in range(3):
        first = -(-offset * _EIGHT // _SIX)  # characters that depend on what stands before
        whole = (offset + len(value)) * _EIGHT // _SIX  # and those that depend on what follows
        yield f"{name} at {offset}", encode(b"\x00" * offset + value)[first:whole]


def every_process() -> dict[str, bytes]:
    """Arguments and environment of every process that runs here."""
    found: dict[str, bytes] = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdecimal():
            continue
        for kind in ("cmdline", "environ"):
            try:
                found[f"{kind} of {place.name}"] = (place / kind).read_bytes()
            except OSError:
                continue  # it ended meanwhile
    return found
