"""Certificates that an authority issued through others: the chain is shown, and judged whole."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx2
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from sojourn.core.client import Role
from sojourn.faces.http.app import build
from sojourn.faces.http.serving import Listen, peers_of
from sojourn.jose import Es256Key
from sojourn.jose.certificates import matches, read_certificate
from tests.faces.attesting import JwtAttestor
from tests.faces.samples import a_client
from tests.faces.test_mtls import Town
from tests.faces.test_mtls import town as town  # the fixture
from tests.faces.world import World
from tests.rig.certificates import Pair, make


@dataclass
class Line:
    """A root, an authority below it, and a client below that."""

    root: Pair
    between: Pair
    leaf: Pair

    def is_matched(self, *, chain: tuple[Pair, ...] | None = None) -> bool:
        shown = (self.between,) if chain is None else chain
        certificate = read_certificate(self.leaf.der, [one.der for one in shown])
        return matches({"subject_dn": self.leaf.dn}, certificate, [self.root.certificate], datetime.now(UTC))


@pytest.fixture
def line(tmp_path: Path) -> Line:
    root = make(tmp_path, "root", authority=True)
    between = make(tmp_path, "between", by=root, authority=True)
    return Line(root, between, make(tmp_path, "runner", by=between))


def chained(pair: Pair, *more: Pair) -> Pair:
    """The same, with a file that shows the chain."""
    pem = pair.pem.with_suffix(".chain")
    pem.write_bytes(b"".join(one.pem.read_bytes() for one in (pair, *more)))
    return replace(pair, pem=pem)


def test_a_chain_that_leads_to_the_authority_is_matched(line: Line, tmp_path: Path) -> None:
    assert line.is_matched()
    deeper = make(tmp_path, "deeper", by=line.between, authority=True)
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
    line.leaf = make(tmp_path, "below", by=deeper, usage=usage)
    assert line.is_matched(chain=(line.between, deeper)), "in whatever order they come"


def test_a_chain_that_does_not_lead_there_is_not(line: Line, tmp_path: Path) -> None:
    other = make(tmp_path, "other-root", authority=True)
    same_name = make(tmp_path, "between", by=other, authority=True)

    assert not line.is_matched(chain=())
    assert not line.is_matched(chain=(same_name,))
    assert not line.is_matched(chain=(line.root,))
    line.root = other
    assert not line.is_matched()


@pytest.mark.parametrize(
    "flaw", ["no authority", "too deep", "expired", "for servers", "leaf expired", "junk"]
)
def test_a_flaw_in_the_chain_refuses_it(line: Line, tmp_path: Path, flaw: str) -> None:
    chain: tuple[Pair, ...] = (line.between,)
    match flaw:
        case "no authority":
            line.leaf, chain = make(tmp_path, "sold", by=line.leaf), (line.leaf, line.between)
        case "too deep":
            line.root = make(tmp_path, "shallow", authority=True, depth=0)
            line.between = make(tmp_path, "b", by=line.root, authority=True)
            below = make(tmp_path, "c", by=line.between, authority=True)
            line.leaf, chain = make(tmp_path, "d", by=below), (line.between, below)
        case "expired":
            line.between = make(tmp_path, "old", by=line.root, authority=True, life=timedelta(seconds=-1))
            line.leaf, chain = make(tmp_path, "e", by=line.between), (line.between,)
        case "for servers":
            usage = [ExtendedKeyUsageOID.SERVER_AUTH]
            line.leaf = make(tmp_path, "f", by=line.between, usage=usage)
        case "leaf expired":
            line.leaf = make(tmp_path, "g", by=line.between, life=timedelta(seconds=-1))
        case _:
            certificate = read_certificate(line.leaf.der, [b"junk", line.between.der])
            assert not matches(
                {"subject_dn": line.leaf.dn}, certificate, [line.root.certificate], datetime.now(UTC)
            )
            return
    assert not line.is_matched(chain=chain)


def test_a_client_below_an_intermediate_is_let_in_over_tls(town: Town, tmp_path: Path) -> None:
    between = make(tmp_path, "between", by=town.authority, authority=True)
    runner = make(tmp_path, "runner", by=between)
    client = town.enrol("runner", {"subject_dn": runner.dn})

    assert town.token(client, chained(runner, between))[0] == 200
    assert not town.lets_in(client, runner), "without the chain nobody vouches for it"
    thief = make(tmp_path, "thief", by=between)
    assert town.token(client, chained(thief, between))[1]["error"] == "invalid_client"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("chain", "status"),
    [
        (lambda line: [f":{_b64(line.between)}:"], 200),
        (lambda line: [f":{_b64(line.root)}:, :{_b64(line.between)}:"], 200),
        (lambda line: [f":{_b64(line.root)}:", f":{_b64(line.between)}:"], 200),
        (lambda line: [], 401),
        (lambda line: [f":{_b64(line.root)}:"], 401),
        (lambda line: [_b64(line.between)], 401),
        (lambda line: [":?:"], 401),
    ],
    ids=["one", "a list", "two headers", "none", "another", "without colons", "no base64"],
)
async def test_a_proxy_forwards_the_chain(line: Line, chain: object, status: int) -> None:
    world = World()
    world.clock.time = datetime.now(UTC)
    listen = Listen("127.0.0.1", 1, client_authorities=line.root.pem, proxies=("10.0.0.5",))
    app = build(replace(world.desk(JwtAttestor(world.store)), peers=peers_of(listen)))
    rule = {"subject_dn": line.leaf.dn}
    client = replace(a_client("runner", Role.OPERATOR, Es256Key.generate().public), certificate=rule)
    world.store.people[client.id] = client
    assert callable(chain)
    headers = [("Client-Cert", f":{line.leaf.b64}:"), *(("Client-Cert-Chain", one) for one in chain(line))]
    transport = httpx2.ASGITransport(app=app, client=("10.0.0.5", 1))

    async with httpx2.AsyncClient(transport=transport, base_url="http://a") as http:
        body = urlencode({"grant_type": "client_credentials", "client_id": client.id})
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        answer = await http.post("/oauth2/token", content=body, headers=[*headers, kind])

    assert answer.status_code == status


def _b64(pair: Pair) -> str:
    return base64.b64encode(pair.der).decode()
