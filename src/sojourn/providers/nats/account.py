"""An account's claims, as a list of scoped signing keys, of which some are ours.

Each of our entries is one credential: its role is the handle, its description holds the
immutable id, and the users signed by its key may do what its template says, for as long as
the entry is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sojourn.ports.provider import Ref

MARK: Final = "sojourn:"
FROZEN: Final = "frozen"


@dataclass(frozen=True, slots=True)
class Entry:
    """One credential in the account."""

    handle: str
    target_id: str
    key: str
    frozen: bool

    def claims(self, template: Mapping[str, object]) -> dict[str, object]:
        """How it is written into the account."""
        tail = f" {FROZEN}" if self.frozen else ""
        return {
            "kind": "user_scope",
            "key": self.key,
            "role": self.handle,
            "description": f"{MARK}{self.target_id}{tail}",
            "template": dict(template),
        }


def entries(claims: Mapping[str, Any]) -> list[Entry]:
    """The credentials that we made."""
    found = []
    for one in claims.get("nats", {}).get("signing_keys") or []:
        if isinstance(one, dict) and str(one.get("description", "")).startswith(MARK):
            target_id, _, tail = str(one["description"]).removeprefix(MARK).partition(" ")
            found.append(Entry(str(one.get("role", "")), target_id, str(one.get("key", "")), tail == FROZEN))
    return found


def entry_of(claims: Mapping[str, Any], ref: Ref) -> Entry | None:
    """The credential by its id, or by its handle while the id is unknown."""
    for one in entries(claims):
        if one.target_id == ref.target_id or (ref.target_id is None and one.handle == ref.handle):
            return one
    return None


def put(claims: dict[str, Any], entry: Entry, template: Mapping[str, object]) -> None:
    """Write `entry` into the claims, in place of the one with its id."""
    remove(claims, entry)
    claims["nats"].setdefault("signing_keys", []).append(entry.claims(template))


def remove(claims: dict[str, Any], entry: Entry) -> None:
    """Take the entry with this id out of the claims."""
    body = claims.setdefault("nats", {})
    kept = [
        one
        for one in body.get("signing_keys") or []
        if not (isinstance(one, dict) and _id_of(one) == entry.target_id)
    ]
    body["signing_keys"] = kept


def _id_of(one: Mapping[str, Any]) -> str:
    description = str(one.get("description", ""))
    return description.removeprefix(MARK).partition(" ")[0] if description.startswith(MARK) else ""
