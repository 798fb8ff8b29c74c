"""The execution context: what was observed when a session opened, what is seen now, and the drift.

Attested facts have dotted names (`github.run_id`) and are written by attestors only; what a
workload says of itself may not use their prefixes, or it could pass for attested.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sojourn.core.errors import Invalid

ATTESTED: Final = frozenset({"github", "gitlab", "kubernetes", "oidc", "spiffe", "mtls"})
"""Prefixes of attested facts, one for each attestor that has any."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A fact that is not what it was; None: there was none, or there is none."""

    fact: str
    was: str | None
    seen: str | None

    def __str__(self) -> str:
        return f"`{self.fact}` was {_shown(self.was)}, is {_shown(self.seen)}"


def compare(opened: Mapping[str, str], seen: Mapping[str, str], held: Collection[str]) -> tuple[Drift, ...]:
    """The facts named in `held` that differ between the opening and now, by name.

    A fact that was there and is gone has drifted, and so has one that was not there before.
    """
    names = sorted(set(held) & (opened.keys() | seen.keys()))
    return tuple(
        Drift(name, opened.get(name), seen.get(name)) for name in names if opened.get(name) != seen.get(name)
    )


def tell(drifts: Iterable[Drift]) -> str:
    """The drifts in words, for causes and refusals."""
    return "; ".join(str(drift) for drift in drifts)


def is_attested(name: str) -> bool:
    """Whether only attestors may write facts of this name."""
    return name.partition(".")[0] in ATTESTED and "." in name


def require_unattested(said: Mapping[str, str]) -> None:
    """Refuse what a workload says of itself under a name that only attestors may write.

    Raises:
        Invalid: code `attested_name`.
    """
    for name in sorted(said):
        if is_attested(name):
            raise Invalid(
                "attested_name", f"`{name[:64]}` is observed, not said: leave it out of the context"
            )


def _shown(value: str | None) -> str:
    return "absent" if value is None else f"`{value[:80]}`"
