"""Claim tables: what each claim of a token is to us. There is no claim without a line.

    required   identifies the workload: absent refuses, another value at a beat ends the session
    pinned     recorded, and compared at every attested beat
    optional   recorded; compared only where a charter pins it
    checked    verified elsewhere (issuer, audience, times), and not recorded
    ignored    says nothing that we use

A claim that stands in no table is reported by name, in the session's first fact and in the
metrics, and never used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from sojourn.core.errors import Unauthenticated

LONGEST_VALUE: Final = 256
_MOST_UNKNOWN: Final = 16
_DEEPEST: Final = 4
CHECKED: Final = frozenset({"iss", "aud", "exp", "nbf", "iat"})


@dataclass(frozen=True, slots=True)
class ClaimTable:
    """Claims by what they are to us, each with the short name of its fact (`a/b` for members)."""

    prefix: str
    required: Mapping[str, str]
    pinned: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    families: tuple[str, ...] = ()  # claims that begin so are optional, under their own names

    def listed(self) -> Mapping[str, str]:
        """Every claim that becomes a fact."""
        return {**self.optional, **self.pinned, **self.required}


@dataclass(frozen=True, slots=True)
class Reading:
    """The facts of one token, by dotted name."""

    facts: Mapping[str, str]
    identity: frozenset[str]
    pinned: frozenset[str]
    unknown: tuple[str, ...]


def named(*claims: str) -> dict[str, str]:
    """Claims whose facts have the same names."""
    return {claim: claim for claim in claims}


def read(table: ClaimTable, claims: Mapping[str, object]) -> Reading:
    """Sort `claims`, which must be verified, by `table`.

    Raises:
        Unauthenticated: code `bad_evidence`; a required claim is missing, or one is not plain.
    """
    listed = table.listed()
    facts: dict[str, str] = {}
    unknown: list[str] = []
    for path, value in _flat(claims):
        name = listed.get(path) or (path if path.startswith(table.families or ("\0",)) else None)
        if name is not None:
            if (text := _text(path, value)) is not None:
                facts[f"{table.prefix}.{name}"] = text
        elif path not in CHECKED and path not in table.ignored:
            unknown.append(path[:64])
    for claim, name in table.required.items():
        if not facts.get(f"{table.prefix}.{name}"):
            raise Unauthenticated("bad_evidence", f"claim `{claim}` is missing or empty")
    return Reading(
        facts,
        frozenset(f"{table.prefix}.{name}" for name in table.required.values()),
        frozenset(f"{table.prefix}.{name}" for name in table.pinned.values()),
        tuple(sorted(unknown)[:_MOST_UNKNOWN]),
    )


def _flat(claims: Mapping[str, object], before: str = "", depth: int = 1) -> Iterator[tuple[str, object]]:
    for name, value in claims.items():
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _flat(value, f"{before}{name}/", depth + 1)
        else:
            yield f"{before}{name}", value


def _text(claim: str, value: object) -> str | None:
    """A fact's text: what JSON calls true is `true`, a null is no fact."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value) if isinstance(value, int) else value
    if not isinstance(text, str) or len(text) > LONGEST_VALUE or not text.isprintable():
        raise Unauthenticated("bad_evidence", f"claim `{claim[:64]}` is not a short plain text")
    return text
