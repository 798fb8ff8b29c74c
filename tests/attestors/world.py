"""Attestors over real HTTPS issuers, with clients in a memory store."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from cryptography.x509 import Certificate

from sojourn.adapters.catalog_attestors import Equipment, make_attestors
from sojourn.adapters.foreign_tokens import PublishedTokens
from sojourn.adapters.issuer_keys import IssuerKeys
from sojourn.adapters.platforms import AskedPlatforms
from sojourn.adapters.shown_certificates import ShownCertificates
from sojourn.adapters.spiffe_bundles import SpiffeBundles
from sojourn.adapters.system_clock import SystemClock, SystemEntropy
from sojourn.core.change import Change
from sojourn.core.client import Client
from sojourn.ports.attestor import Attestation, Attestor, Evidence
from sojourn.ports.issuers import Federation, IssuerPlace, Reach, TrustDomain
from sojourn.ports.store import Store
from sojourn.services.federate_client import FederateClient
from sojourn.testing.memory_store import MemoryStore
from tests.rig.issuers.tls import Authority

US: Final = "https://sojourn.example"
NETWORKS: Final = ("127.0.0.0/8",)


class World:
    """A deployment's half that recognises workloads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.memory = MemoryStore()
        self.store = cast("Store", self.memory)
        self.clock = SystemClock()
        self.places: dict[str, IssuerPlace] = {}
        self.domains: dict[str, TrustDomain] = {}
        self.client_authorities: list[Certificate] = []

    @property
    def reach(self) -> Reach:
        """How issuers on loopback are reached."""
        return Reach(NETWORKS, self.authority.path)

    def know(self, issuer: str, *, api: str | None = None, api_token: str = "") -> None:
        """Say in the server's file how an issuer is reached, and where it may be asked."""
        secret = self.folder / f"api-{uuid.uuid4().hex}"
        secret.write_text(api_token + "\n")
        self.places[issuer] = IssuerPlace(self.reach, api=api, api_token=secret)

    async def federate(self, attestor: str, rule: Mapping[str, str], *, name: str = "deploy") -> Client:
        """Register a workload by its rule."""
        federate = FederateClient(self.store, self.clock, SystemEntropy(), US)
        return await federate(name=name, owner="team-shop", attestor=attestor, rule=rule)

    async def attest(self, kind: str, assertion: str, *, client: str = "deploy") -> Attestation:
        """Show a token, as an open does; what serves once is spent."""
        attestation = await self.attestors()[kind].attest(Evidence(kind, assertion, client), self.now())
        await self.store.commit(Change(once=attestation.once))
        return attestation

    def now(self) -> datetime:
        """The time of the world, which is the machine's."""
        return datetime.now(UTC)

    def attestors(self) -> Mapping[str, Attestor]:
        """Every attestor of the catalogue."""
        federation = Federation(self.places, self.domains)
        tokens = PublishedTokens(IssuerKeys(self.clock, federation), SpiffeBundles(self.clock, federation))
        certificates = ShownCertificates(self.client_authorities)
        return make_attestors(Equipment(self.store, None, tokens, AskedPlatforms(federation), certificates))
