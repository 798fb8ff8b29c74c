"""X509-SVIDs: a chain to the trust domain's own authority, and an assertion by the leaf's key."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jws
from joserfc.jwk import ECKey

from sojourn.client.svid import SvidSource
from sojourn.core.errors import Refused, Unauthenticated
from sojourn.ports.issuers import TrustDomain as Domain
from tests.attestors.world import US, World
from tests.rig.issuers.spire import TrustDomain
from tests.rig.issuers.tls import Authority, Bend

pytestmark = pytest.mark.anyio
KIND, ID = "spiffe_x509", "spiffe://shop.example/ci/deploy"
_REGISTRY = jws.JWSRegistry(algorithms=["ES256", "HS256"], strict_check_header=False)


@pytest.fixture
def shop(world: World, tmp_path: Path) -> Iterator[TrustDomain]:
    made = TrustDomain("shop.example", tmp_path, world.authority.server())
    world.domains[made.name] = Domain(made.name, made.endpoint, reach=world.reach)
    yield made
    made.close()


async def ready(world: World) -> None:
    await world.federate("spiffe", {"id": ID})


def shown(folder: Path) -> str:
    """The assertion that the client makes of the SVID in `folder`."""
    return SvidSource(folder, "deploy", US).gather()["assertion"]


async def test_an_svid_is_recognised_and_each_assertion_serves_once(
    world: World, shop: TrustDomain, tmp_path: Path
) -> None:
    await ready(world)
    folder = shop.authority.svid(ID, folder=tmp_path / "svid")
    assertion = shown(folder)

    seen = await world.attest(KIND, assertion)

    assert seen.context == {"spiffe.id": ID} and seen.client.name == "deploy"
    with pytest.raises(Refused):
        await world.attest(KIND, assertion)
    await world.attest(KIND, shown(folder))


async def test_a_chain_through_an_intermediate_is_followed(
    world: World, shop: TrustDomain, tmp_path: Path
) -> None:
    await ready(world)
    middle = shop.authority.below("middle", spiffe_id="spiffe://shop.example")
    folder = middle.svid(ID, folder=tmp_path / "svid", bend=Bend(above=(middle.certificate,)))

    assert (await world.attest(KIND, shown(folder))).context == {"spiffe.id": ID}


def _by_stranger(shop: TrustDomain, folder: Path) -> Path:
    return Authority(folder.parent, "stranger").svid(ID, folder=folder)


def _by_other_domain(shop: TrustDomain, folder: Path) -> Path:
    middle = shop.authority.below("middle", spiffe_id="spiffe://other.example")
    return middle.svid(ID, folder=folder, bend=Bend(above=(middle.certificate,)))


def _too_deep(shop: TrustDomain, folder: Path) -> Path:
    upper = shop.authority.below("upper", path_length=0)
    lower = upper.below("lower")
    return lower.svid(ID, folder=folder, bend=Bend(above=(lower.certificate, upper.certificate)))


def _below_a_leaf(shop: TrustDomain, folder: Path) -> Path:
    """A leaf that plays authority: its own certificate stands where an authority's should."""
    false = Authority(folder.parent, "false")
    leaf = shop.authority.svid(ID, folder=folder.parent / "leaf")
    above = x509.load_pem_x509_certificates((leaf / "svid.pem").read_bytes())
    return false.svid(ID, folder=folder, bend=Bend(above=tuple(above)))


def _bent(*uris: str, **how: Any) -> Callable[[TrustDomain, Path], Path]:
    return lambda shop, folder: shop.authority.svid(*(uris or (ID,)), folder=folder, bend=Bend(**how))


FALSE: dict[str, Callable[[TrustDomain, Path], Path]] = {
    "a stranger's authority": _by_stranger,
    "an authority of another trust domain": _by_other_domain,
    "more authorities than allowed": _too_deep,
    "a leaf that plays authority": _below_a_leaf,
    "another workload": _bent("spiffe://shop.example/ci/other"),
    "another trust domain": _bent("spiffe://other.example/ci/deploy"),
    "the trust domain itself": _bent("spiffe://shop.example"),
    "two names": _bent(ID, "spiffe://shop.example/ci/other"),
    "a name that is no SPIFFE ID": _bent("https://shop.example/ci/deploy"),
    "an authority for a leaf": _bent(authority=True),
    "a key for signing certificates": _bent(usage="signs"),
    "no key usage": _bent(usage=None),
    "key usage that is not critical": _bent(critical_usage=False),
    "a critical extension nobody knows": _bent(strange=True),
    "an SVID that expired": _bent(life=(timedelta(days=-2), timedelta(days=-1))),
    "an SVID for later": _bent(life=(timedelta(hours=1), timedelta(hours=2))),
}


@pytest.mark.parametrize("what", FALSE)
async def test_a_certificate_is_refused_for(
    world: World, shop: TrustDomain, tmp_path: Path, what: str
) -> None:
    await ready(world)
    folder = FALSE[what](shop, tmp_path / "svid")

    with pytest.raises(Unauthenticated) as refusal:
        await world.attest(KIND, shown(folder))
    assert refusal.value.code == "bad_evidence"


CHANGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("no type", {"typ": None}, {}),
    ("the type of another kind", {"typ": "JWT"}, {}),
    ("no chain", {"x5c": None}, {}),
    ("an empty chain", {"x5c": []}, {}),
    ("a chain of nonsense", {"x5c": ["AAAA"]}, {}),
    ("a chain without end", {"x5c": ["AAAA"] * 5}, {}),
    ("another subject", {}, {"sub": "spiffe://shop.example/ci/other"}),
    ("another issuer", {}, {"iss": "spiffe://shop.example/ci/other"}),
    ("another audience", {}, {"aud": "https://other.example"}),
    ("two audiences", {}, {"aud": [US, "https://other.example"]}),
    ("a long life", {}, {"exp": int(time.time()) + 3600}),
    ("no expiry", {}, {"exp": None}),
    ("no jti", {}, {"jti": None}),
]


@pytest.mark.parametrize(("what", "header", "claims"), CHANGES, ids=[what for what, _, _ in CHANGES])
async def test_an_assertion_is_refused_for(
    world: World,
    shop: TrustDomain,
    tmp_path: Path,
    what: str,
    header: dict[str, Any],
    claims: dict[str, Any],
) -> None:
    await ready(world)
    folder = shop.authority.svid(ID, folder=tmp_path / "svid")

    with pytest.raises(Unauthenticated):
        await world.attest(KIND, _signed(folder, header, claims))


async def test_the_unbent_assertion_of_this_file_is_taken(
    world: World, shop: TrustDomain, tmp_path: Path
) -> None:
    await ready(world)
    folder = shop.authority.svid(ID, folder=tmp_path / "svid")

    assert (await world.attest(KIND, _signed(folder, {}, {}))).context == {"spiffe.id": ID}


async def test_a_stolen_chain_without_its_key_is_worth_nothing(
    world: World, shop: TrustDomain, tmp_path: Path
) -> None:
    await ready(world)
    folder = shop.authority.svid(ID, folder=tmp_path / "svid")
    thief = shop.authority.svid("spiffe://shop.example/thief", folder=tmp_path / "thief")
    (thief / "svid.pem").write_bytes((folder / "svid.pem").read_bytes())

    with pytest.raises(Unauthenticated):
        await world.attest(KIND, shown(thief))


def _signed(folder: Path, header: dict[str, Any], claims: dict[str, Any]) -> str:
    chain = x509.load_pem_x509_certificates((folder / "svid.pem").read_bytes())
    key = load_pem_private_key((folder / "svid_key.pem").read_bytes(), None)
    now = int(time.time())
    head = {
        "alg": "ES256",
        "typ": "x509-svid+jwt",
        "kid": "svid",
        "x5c": [base64.b64encode(_der(one)).decode() for one in chain],
        **header,
    }
    said = {
        "iss": ID,
        "sub": ID,
        "aud": US,
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_hex(8),
        **claims,
    }
    return jws.serialize_compact(
        {k: v for k, v in head.items() if v is not None},
        json.dumps({k: v for k, v in said.items() if v is not None}),
        ECKey.import_key(key),  # type: ignore[arg-type]
        registry=_REGISTRY,
    )


def _der(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)
