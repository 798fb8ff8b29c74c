"""Enrol a workload without a key: by a rule that says whose tokens stand for it."""

from __future__ import annotations

from collections.abc import Mapping

from sojourn.core.change import Change
from sojourn.core.client import Client, Role, check_name, register
from sojourn.core.errors import Conflict
from sojourn.core.federation import compile_rule
from sojourn.core.ids import CLIENT, ClientId, OwnerId, from_uuid
from sojourn.ports.clock import Clock, Entropy
from sojourn.ports.store import Store


class FederateClient:
    """Makes a workload known by a rule; guards and operators keep keys."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, issuer: str) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._issuer = issuer

    async def __call__(self, *, name: str, owner: str, attestor: str, rule: Mapping[str, str]) -> Client:
        """The client, whose tokens must be made for this deployment's address.

        Raises:
            Invalid: codes `bad_name`, `unknown_attestor`, `bad_rule`.
            Conflict: code `client_exists`.
        """
        check_name(name)
        exact = compile_rule(attestor, rule, audience=self._issuer)
        if await self._store.client_named(name) is not None:
            raise Conflict("client_exists", f"there is a client `{name}` already")
        client = Client(
            id=ClientId(from_uuid(CLIENT, self._entropy.uuid7())),
            version=1,
            name=name,
            role=Role.WORKLOAD,
            owner=OwnerId(owner),
            jwk={},
            thumbprint="",
            registered_at=self._clock.now(),
            attestor=attestor,
            rule=exact,
        )
        await self._store.commit(Change(steps=(register(client),)))
        return client
