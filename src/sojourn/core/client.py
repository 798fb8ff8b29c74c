"""Every caller is a client with a registered public key: workload, guard or operator.

We keep the public half only. A workload may have a federation rule instead of a key: then its
platform's word, checked by an attestor, stands for it, and it has no secret to keep. A removed
client stays on record and never comes back; its name may be taken by a new client with an id
of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from sojourn.core.errors import Conflict, Invalid
from sojourn.core.ids import ClientId, OwnerId
from sojourn.core.record import FactKind, RowKind, Step, born, moved

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Role(StrEnum):
    """What kind of caller it is, and so which routes it may use."""

    WORKLOAD = "workload"
    GUARD = "guard"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Client:
    """A registered caller."""

    id: ClientId
    version: int
    name: str
    role: Role
    owner: OwnerId
    jwk: Mapping[str, str]  # the public key (RFC 7517), ES256 only
    thumbprint: str  # RFC 7638, SHA-256
    registered_at: datetime
    audience: str | None = None  # for a guard: the API it protects
    removed_at: datetime | None = None
    attestor: str = "private_key_jwt"  # what recognises it
    rule: Mapping[str, str] = field(default_factory=dict)  # of a federated one, which has no key
    certificate: Mapping[str, str] = field(default_factory=dict)
    """What its TLS certificate must match (RFC 8705, section 2), if it may authenticate by one."""


def check_name(name: str) -> None:
    """Refuse what is no name for a client.

    Raises:
        Invalid: code `bad_name`.
    """
    if not _NAME.fullmatch(name):
        raise Invalid("bad_name", "expected a name of lower-case letters, digits, `.`, `_` and `-`")


def register(client: Client) -> Step[Client]:
    """The client is known from now on."""
    return born(FactKind.CLIENT_REGISTERED, RowKind.CLIENT, client, client.registered_at)


def remove(client: Client, now: datetime) -> Step[Client]:
    """The client may do nothing any more.

    Raises:
        Conflict: code `already_removed`.
    """
    if client.removed_at is not None:
        raise Conflict("already_removed", f"client `{client.name}` was removed before")
    return moved(FactKind.CLIENT_REMOVED, RowKind.CLIENT, client, now, removed_at=now)
