"""Enrol a caller by its public key: by an operator, or by a one-time invitation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

from sojourn.core.change import Change, Once, Spend
from sojourn.core.client import Client, Role, check_name, register
from sojourn.core.errors import Conflict, Invalid
from sojourn.core.ids import CLIENT, ClientId, OwnerId, from_uuid
from sojourn.core.proof import thumbprint_of
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store

INVITATION: Final = "invitation"
_NO_CERTIFICATE: Final[Mapping[str, str]] = {}
_OPERATORS: Final = OwnerId("operators")

CheckKey = Callable[[Mapping[str, str]], Mapping[str, str]]
"""The four public members of an ES256 key, or `Invalid`: code `bad_key`."""


def invitation_key(link: str) -> str:
    """What is stored of an invitation: it cannot be turned back into the link."""
    return hashlib.sha256(link.encode()).hexdigest()


class RegisterClient:
    """Makes a caller known by its key."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, check_key: CheckKey) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._check_key = check_key

    async def __call__(
        self,
        *,
        name: str,
        role: Role,
        owner: str,
        jwk: Mapping[str, str],
        audience: str | None,
        certificate: Mapping[str, str] | None = None,
    ) -> Client:
        """The client, registered by an operator; without a `jwk` only its certificate speaks for it.

        Raises:
            Invalid: codes `bad_name`, `bad_key`, `audience_expected`.
            Conflict: code `client_exists`.
        """
        if (role is Role.GUARD) != (audience is not None):
            raise Invalid("audience_expected", "a guard has an audience, and no other client has one")
        client = await self._describe(
            name, role, OwnerId(owner), jwk, audience=audience, certificate=certificate or {}
        )
        await self._store.commit(Change(steps=(register(client),)))
        return client

    async def login(
        self, *, link: str, name: str | None, jwk: Mapping[str, str], once: tuple[Once, ...]
    ) -> Client:
        """An operator, registered by whoever holds the invitation first.

        Raises:
            Refused: code `unknown_mark`; no such invitation, or it was spent or has expired.
            Invalid, Conflict: as for a registration.
        """
        chosen = name or f"operator-{self._entropy.token(4).lower().replace('_', 'a').replace('-', 'b')}"
        client = await self._describe(chosen, Role.OPERATOR, _OPERATORS, jwk)
        spend = Spend(INVITATION, invitation_key(link), self._clock.now())
        await self._store.commit(Change(steps=(register(client),), spend=(spend,), once=once))
        return client

    async def _describe(
        self,
        name: str,
        role: Role,
        owner: OwnerId,
        jwk: Mapping[str, str],
        *,
        audience: str | None = None,
        certificate: Mapping[str, str] = _NO_CERTIFICATE,
    ) -> Client:
        check_name(name)
        if await self._store.client_named(name) is not None:
            raise Conflict("client_exists", f"there is a client `{name}` already")
        key = {} if certificate and not jwk else self._check_key(jwk)
        return Client(
            id=ClientId(from_uuid(CLIENT, self._entropy.uuid7())),
            version=1,
            name=name,
            role=role,
            owner=owner,
            jwk=key,
            thumbprint=thumbprint_of(key) if key else "",
            registered_at=self._clock.now(),
            audience=audience,
            certificate=certificate,
        )
