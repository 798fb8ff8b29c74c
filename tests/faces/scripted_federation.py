"""Registers workloads that have a rule instead of a key, for the HTTP face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sojourn.core.client import Client, Role
from sojourn.core.federation import compile_rule
from sojourn.jose import Es256Key
from tests.faces.samples import ISSUER, a_client
from tests.faces.scripted import MemoryStore


@dataclass(frozen=True)
class Federate:
    """The rule is compiled as in the product; nothing else is judged."""

    store: MemoryStore

    async def __call__(self, *, name: str, owner: str, attestor: str, rule: Mapping[str, str]) -> Client:
        made = a_client(name, Role.WORKLOAD, Es256Key.generate().public)
        exact = compile_rule(attestor, rule, audience=ISSUER)
        client = replace(made, jwk={}, thumbprint="", attestor=attestor, rule=exact)
        self.store.people[client.id] = client
        return client
