"""State diagrams as mermaid text, drawn from the transition tables of the core."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from sojourn.core import lease, session

S = TypeVar("S", bound=StrEnum)

_SAID: Final[Mapping[str, str]] = {
    "requested": "asked for; nothing is granted",
    "approved": "allowed by its charter; no credential yet",
    "active": "the only state that permits anything",
    "suspended": "frozen: tokens refused, logins shut, connections cut; can be resumed",
    "revoking": "ended for everybody; credentials are being taken away",
    "ended": "no credential is left that was not seen to be gone",
    "planned": "may come to exist; recorded before anything is sent",
    "issued": "the target answered that it exists",
    "frozen": "seen without login and without live work",
    "destroying": "to be taken away, for ever if need be",
    "destroyed": "seen to be absent when no issue could still land",
}


def diagrams() -> str:
    """The diagrams of session and lease, each with what its states mean."""
    return "\n\n".join(
        (_section("Session", session.State, session.NEXT), _section("Lease", lease.LeaseState, lease.NEXT))
    )


def drawing(first: S, table: Mapping[S, frozenset[S]]) -> str:
    """One mermaid state diagram; arrows in the order of the table."""
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    for state, following in table.items():
        lines += [f"    {state} --> {after}" for after in sorted(following)]
        lines += [] if following else [f"    {state} --> [*]"]
    return "\n".join(lines)


def _section(title: str, states: type[S], table: Mapping[S, frozenset[S]]) -> str:
    rows = "\n".join(f"| `{state}` | {_SAID[state]} |" for state in states)
    first = next(iter(states))
    return f"## {title}\n\n```mermaid\n{drawing(first, table)}\n```\n\n| state | meaning |\n|---|---|\n{rows}"
