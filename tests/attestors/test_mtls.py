"""Mutual TLS: the certificate of the connection, by what the client is registered with."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from sojourn.core.change import Change
from sojourn.core.client import Client, Role, register, remove
from sojourn.core.errors import Unauthenticated
from sojourn.core.ids import CLIENT, ClientId, OwnerId, from_uuid
from sojourn.ports.attestor import Attestation, Evidence
from tests.attestors.world import World
from tests.rig.certificates import Pair, make

pytestmark = pytest.mark.anyio


async def enrol(world: World, rule: dict[str, str], *, role: Role = Role.WORKLOAD) -> Client:
    """A client without a key that is registered with a certificate."""
    made = Client(
        id=ClientId(from_uuid(CLIENT, uuid.uuid4())),
        version=1,
        name="runner",
        role=role,
        owner=OwnerId("team-shop"),
        jwk={},
        thumbprint="",
        registered_at=datetime.now(UTC),
        certificate=rule,
    )
    await world.store.commit(Change(steps=(register(made),)))
    return made


async def attest(world: World, der: bytes | None, *, client: str = "runner", later: float = 0) -> Attestation:
    """Show a certificate, as the face does."""
    evidence = Evidence("mtls", "", client, der)
    return await world.attestors()["mtls"].attest(evidence, world.now() + timedelta(seconds=later))


async def test_the_registered_certificate_is_recognised(world: World, tmp_path: Path) -> None:
    own = make(tmp_path, "runner")
    await enrol(world, {"self_signed": own.b64})

    seen = await attest(world, own.der)

    assert seen.client.name == "runner" and seen.identity == {"mtls.client"}
    assert seen.context["mtls.subject"] == own.dn and len(seen.context["mtls.x5t"]) == 43


async def test_a_renewed_certificate_of_the_same_name_is_the_same_client(
    world: World, tmp_path: Path
) -> None:
    authority = make(tmp_path, "authority", authority=True)
    world.client_authorities.append(authority.certificate)
    await enrol(world, {"san_dns": "runner.example"})
    first, second = (_named(tmp_path, name, authority) for name in ("one", "two"))

    seen = [await attest(world, pair.der) for pair in (first, second)]

    assert seen[0].context["mtls.client"] == seen[1].context["mtls.client"]
    assert seen[0].context["mtls.x5t"] != seen[1].context["mtls.x5t"]


def _named(folder: Path, name: str, authority: Pair) -> Pair:
    return make(folder, name, by=authority, sans=[x509.DNSName("runner.example")])


@pytest.mark.parametrize(
    "what",
    ["another", "none", "nonsense", "a stranger's authority", "expired", "no client", "removed", "a guard"],
)
async def test_it_is_refused_for(world: World, tmp_path: Path, what: str) -> None:
    own, other = make(tmp_path, "runner"), make(tmp_path, "other")
    role = Role.GUARD if what == "a guard" else Role.WORKLOAD
    rule = {"san_dns": "runner.example"} if what.startswith("a stranger") else {"self_signed": own.b64}
    client = await enrol(world, rule, role=role)
    if what == "removed":
        await world.store.commit(Change(steps=(remove(client, world.now()),)))
    shown: dict[str, bytes | None] = {
        "another": other.der,
        "none": None,
        "nonsense": b"x" * 100,
        "a stranger's authority": _named(tmp_path, "stray", make(tmp_path, "x", authority=True)).der,
    }

    with pytest.raises(Unauthenticated) as refusal:
        await attest(
            world,
            shown.get(what, own.der),
            client="nobody" if what == "no client" else "runner",
            later=90_000 if what == "expired" else 0,
        )
    assert str(refusal.value) == "bad_evidence: the evidence stands for no client that takes it"


async def test_a_client_with_a_key_alone_has_no_certificate(world: World, tmp_path: Path) -> None:
    own = make(tmp_path, "runner")
    client = await enrol(world, {"self_signed": own.b64})
    await world.store.commit(Change(steps=(remove(client, world.now()),)))
    plain = replace(client, id=ClientId(from_uuid(CLIENT, uuid.uuid4())), certificate={})
    await world.store.commit(Change(steps=(register(plain),)))

    with pytest.raises(Unauthenticated):
        await attest(world, own.der)
