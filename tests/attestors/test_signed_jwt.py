"""`private_key_jwt`: who signed is who is registered, each assertion serves once, all else reads alike."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from sojourn.adapters.assertions import Assertions
from sojourn.adapters.opened_store import open_memory
from sojourn.adapters.sql_store import SqlStore
from sojourn.attestors.signed_jwt import SignedJwt
from sojourn.core.change import Change, Once
from sojourn.core.client import Client, Role, register, remove
from sojourn.core.errors import Refused, SojournError, Unauthenticated
from sojourn.core.ids import CLIENT, ClientId, OwnerId
from sojourn.jose import Es256Key, sign_client_assertion
from sojourn.ports.attestor import Evidence
from tests.rig.store import SECOND, START, an_id

pytestmark = pytest.mark.anyio
ISSUER = "https://sojourn.example"
TYPE = "client-authentication+jwt"


@dataclass
class Desk:
    """A store with one workload, and the attestor over it."""

    store: SqlStore
    key: Es256Key
    client: Client

    @property
    def attestor(self) -> SignedJwt:
        return SignedJwt(self.store, Assertions(ISSUER))

    def signed(self, **change: Any) -> str:
        """An assertion as a client signs it, with header or claims changed; None takes a claim away."""
        at = int(START.timestamp())
        claims = {"iss": self.client.id, "sub": self.client.id, "aud": ISSUER, "iat": at, "exp": at + 60}
        told = {**claims, "jti": str(uuid4()), **change.get("claims", {})}
        header = {"typ": TYPE, **change.get("header", {})}
        key: Es256Key = change.get("key", self.key)
        return key.sign(header, {name: one for name, one in told.items() if one is not None})

    async def refused(self, assertion: str) -> tuple[str, str]:
        with pytest.raises(SojournError) as refusal:
            await self.attestor.attest(Evidence("private_key_jwt", assertion), START)
        assert isinstance(refusal.value, Unauthenticated)
        return refusal.value.code, refusal.value.message


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    store, key = await open_memory(), Es256Key.generate()
    client = Client(
        id=ClientId(an_id(CLIENT, 1)),
        version=1,
        name="job",
        role=Role.WORKLOAD,
        owner=OwnerId("team"),
        jwk=dict(key.jwk),
        thumbprint=key.thumbprint,
        registered_at=START,
    )
    await store.commit(Change(steps=(register(client),)))
    yield Desk(store, key, client)
    await store.close()


async def test_the_signer_is_recognised_and_its_assertion_marked(desk: Desk) -> None:
    assertion = sign_client_assertion(desk.key, desk.client.id, ISSUER, START, jti="once-1")

    seen = await desk.attestor.attest(Evidence("private_key_jwt", assertion), START)

    (mark,) = seen.once
    assert seen.client == desk.client and not seen.context
    assert mark.key == f"{desk.client.id}:once-1"
    assert mark.expires_at >= START + timedelta(seconds=60), "remembered for as long as it could be replayed"


async def test_the_mark_lets_an_assertion_through_once(desk: Desk) -> None:
    evidence = Evidence("private_key_jwt", desk.signed())
    first, second = [await desk.attestor.attest(evidence, START) for _ in range(2)]
    await desk.store.commit(Change(once=first.once))

    with pytest.raises(Refused) as refusal:
        await desk.store.commit(Change(once=second.once))

    assert refusal.value.code == "replayed"


async def test_the_same_jti_of_two_clients_is_no_replay(desk: Desk) -> None:
    key = Es256Key.generate()
    other = Client(
        ClientId(an_id(CLIENT, 2)),
        1,
        "two",
        Role.WORKLOAD,
        OwnerId("team"),
        dict(key.jwk),
        key.thumbprint,
        START,
    )
    await desk.store.commit(Change(steps=(register(other),)))
    marks: list[Once] = []
    for signer, client in ((desk.key, desk.client), (key, other)):
        assertion = sign_client_assertion(signer, client.id, ISSUER, START, jti="same")
        marks += (await desk.attestor.attest(Evidence("private_key_jwt", assertion), START)).once

    await desk.store.commit(Change(once=tuple(marks)))


@pytest.mark.parametrize(
    "change",
    [
        {"claims": {"iss": "cli_other"}},
        {"claims": {"sub": "cli_other"}},
        {"claims": {"sub": None}},
        {"claims": {"iss": None}},
        {"claims": {"aud": "https://other.example"}},
        {"claims": {"aud": ISSUER + "/"}},
        {"claims": {"aud": [ISSUER, "https://other.example"]}},
        {"claims": {"aud": None}},
        {"claims": {"exp": None}},
        {"claims": {"iat": None}},
        {"claims": {"jti": None}},
        {"claims": {"jti": ""}},
        {"claims": {"jti": 7}},
        {"claims": {"exp": int(START.timestamp()) - 11}},
        {"claims": {"exp": int(START.timestamp()) + 100_000}},
        {"claims": {"iat": int(START.timestamp()) + 60}},
        {"claims": {"nbf": int(START.timestamp()) + 3600}},
        {"claims": {"exp": 1e400}},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": "at+jwt"}},
        {"header": {"typ": "dpop+jwt"}},
        {"header": {"crit": ["b64"], "b64": False}},
        {"key": Es256Key.generate()},
    ],
    ids=lambda change: str({**change, "key": "another"} if "key" in change else change),
)
async def test_what_is_not_exactly_right_is_refused(desk: Desk, change: dict[str, Any]) -> None:
    assert (await desk.refused(desk.signed(**change)))[0] == "bad_assertion"


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256", "ES384", "EdDSA", ""])
async def test_an_algorithm_is_never_taken_from_the_header(desk: Desk, alg: str) -> None:
    _, payload, signature = desk.signed().split(".")
    header = base64.urlsafe_b64encode(json.dumps({"typ": TYPE, "alg": alg}).encode()).rstrip(b"=").decode()

    for forged in (f"{header}.{payload}.{signature}", f"{header}.{payload}."):
        assert (await desk.refused(forged))[0] == "bad_assertion"


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b.c", "e30.e30.e30", "x" * 9000, "é.é.é", "null.null.null"]
)
async def test_what_is_no_assertion_is_refused(desk: Desk, text: str) -> None:
    assert (await desk.refused(text))[0] == "bad_assertion"


async def test_a_flipped_bit_anywhere_is_refused(desk: Desk) -> None:
    assertion = desk.signed()
    for at in range(0, len(assertion), 7):
        if assertion[at] == "." or at == len(assertion) - 1:
            continue
        other = "A" if assertion[at] != "A" else "B"
        assert (await desk.refused(assertion[:at] + other + assertion[at + 1 :]))[0] == "bad_assertion"


async def test_nobody_learns_who_is_registered(desk: Desk) -> None:
    stranger = Es256Key.generate()
    names = (desk.client.id, an_id(CLIENT, 9), "cli_x", "job", "")
    told = {await desk.refused(sign_client_assertion(stranger, n, ISSUER, START, jti="1")) for n in names}
    odd = {
        await desk.refused(desk.signed(key=stranger, claims={"sub": n, "iss": n}, header={"typ": "JWT"}))
        for n in names
    }

    assert len(told) == len(odd) == 1


async def test_a_removed_client_is_nobody(desk: Desk) -> None:
    assertion = desk.signed()
    await desk.store.commit(Change(steps=(remove(desk.client, START + SECOND),)))

    assert (await desk.refused(assertion))[0] == "bad_assertion"
