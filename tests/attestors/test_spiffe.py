"""SPIFFE: the SVID of exactly one id, by the bundle of its own trust domain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sojourn.adapters.spiffe_bundles import SpiffeBundles
from sojourn.core.errors import Unauthenticated, Unavailable
from sojourn.ports.issuers import BundleProfile, Federation
from sojourn.ports.issuers import TrustDomain as Domain
from sojourn.testing.clock import ManualClock
from tests.attestors.world import NETWORKS, US, World
from tests.rig.issuers.spire import TrustDomain

pytestmark = pytest.mark.anyio
KIND, PATH = "spiffe", "/ci/deploy"


@pytest.fixture
def shop(world: World, tmp_path: Path) -> Iterator[TrustDomain]:
    """A trust domain whose endpoint shows a web certificate."""
    made = TrustDomain("shop.example", tmp_path, world.authority.server())
    world.domains[made.name] = Domain(made.name, made.endpoint, reach=world.reach)
    yield made
    made.close()


async def ready(world: World) -> None:
    await world.federate(KIND, {"id": f"spiffe://shop.example{PATH}"})


async def test_an_svid_of_the_exact_id_is_recognised_again_and_again(world: World, shop: TrustDomain) -> None:
    await ready(world)
    svid = shop.svid(PATH, [US])

    first, second = await world.attest(KIND, svid), await world.attest(KIND, svid)

    assert first.context == second.context == {"spiffe.id": f"spiffe://shop.example{PATH}"}
    assert first.once == () and first.lasting


UNLIKE: list[tuple[str, dict[str, Any]]] = [
    ("another workload", {"sub": "spiffe://shop.example/ci/deploy2"}),
    ("a longer path", {"sub": "spiffe://shop.example/ci/deploy/x"}),
    ("the trust domain itself", {"sub": "spiffe://shop.example"}),
    ("no SPIFFE ID", {"sub": "deploy"}),
    ("another trust domain", {"sub": "spiffe://other.example/ci/deploy"}),
    ("no audience", {"aud": None}),
    ("another audience", {"aud": ["https://other.example"]}),
    ("one audience more", {"aud": [US, "https://other.example"]}),
    ("no expiry", {"exp": None}),
    ("an expiry that passed", {"exp": 1_700_000_000}),
]


@pytest.mark.parametrize(("what", "change"), UNLIKE, ids=[what for what, _ in UNLIKE])
async def test_an_svid_is_refused_for(
    world: World, shop: TrustDomain, what: str, change: dict[str, Any]
) -> None:
    await ready(world)

    with pytest.raises(Unauthenticated):
        await world.attest(KIND, shop.svid(PATH, US, **change))


async def test_one_trust_domain_never_vouches_for_another(
    world: World, shop: TrustDomain, tmp_path: Path
) -> None:
    await ready(world)
    other = TrustDomain("other.example", tmp_path, world.authority.server())
    world.domains[other.name] = Domain(other.name, other.endpoint, reach=world.reach)
    try:
        forged = other.svid(PATH, US, sub=f"spiffe://shop.example{PATH}")

        with pytest.raises(Unauthenticated):
            await world.attest(KIND, forged)
    finally:
        other.close()


async def test_a_key_for_another_use_verifies_nothing(world: World, shop: TrustDomain) -> None:
    await ready(world)
    shop.body = shop.bundle(use="sig")

    with pytest.raises(Unauthenticated):
        await world.attest(KIND, shop.svid(PATH, US))


async def test_a_trust_domain_that_no_file_names_has_no_workloads(world: World, shop: TrustDomain) -> None:
    await ready(world)
    del world.domains[shop.name]

    with pytest.raises(Unavailable) as refusal:
        await world.attest(KIND, shop.svid(PATH, US))

    assert refusal.value.code == "issuer_unavailable"


class Following:
    """Our view of one trust domain, on a clock that moves by hand."""

    def __init__(self, world: World, domain: TrustDomain, profile: BundleProfile, **more: Any) -> None:
        self.clock = ManualClock()
        bundle = world.folder / f"{domain.name}.json"
        bundle.write_bytes(domain.bundle())
        reach = type(world.reach)(NETWORKS, None if profile is BundleProfile.HTTPS_SPIFFE else world.reach.ca)
        told = {"endpoint": domain.endpoint, "endpoint_id": domain.endpoint_id, **more}
        known = Domain(domain.name, profile=profile, bundle=bundle, reach=reach, **told)
        self.bundles = SpiffeBundles(self.clock, Federation(trust_domains={domain.name: known}))
        self.name = domain.name

    async def kids(self, kid: str | None = None) -> set[str]:
        return set(await self.bundles.keys(self.name, kid))

    async def pass_time(self, seconds: float) -> None:
        await self.clock.sleep(seconds)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[TrustDomain]:
    """A trust domain whose endpoint shows an SVID."""
    made = TrustDomain("own.example", tmp_path)
    yield made
    made.close()


async def test_a_bundle_rotates_as_its_refresh_hint_says(world: World, own: TrustDomain) -> None:
    following = Following(world, own, BundleProfile.HTTPS_SPIFFE)
    assert await following.kids() == {own.signing}

    fresh = own.rotate()
    await following.pass_time(61)

    assert await following.kids() == {fresh} and own.fetches == 2


async def test_a_new_key_is_found_at_once_and_forgeries_ask_once_in_ten_seconds(
    world: World, own: TrustDomain
) -> None:
    following = Following(world, own, BundleProfile.HTTPS_SPIFFE)
    await following.kids()
    await following.pass_time(10)
    fresh = own.rotate()

    for number in range(50):
        await following.kids(f"forged-{number}")

    assert await following.kids(fresh) == {fresh} and own.fetches == 2


async def test_a_bundle_whose_sequence_goes_back_is_refused(world: World, own: TrustDomain) -> None:
    following = Following(world, own, BundleProfile.HTTPS_SPIFFE)
    await following.kids()
    own.rotate()
    own.sequence = 1
    await following.pass_time(61)

    with pytest.raises(Unavailable) as refusal:
        await following.kids()
    assert "went back" in refusal.value.message


async def test_an_empty_bundle_revokes_every_key(world: World, own: TrustDomain) -> None:
    following = Following(world, own, BundleProfile.HTTPS_SPIFFE)
    await following.kids()
    own.keys = {}
    own.sequence += 1
    await following.pass_time(61)

    assert await following.kids() == set()


async def test_an_endpoint_with_another_id_is_refused(world: World, own: TrustDomain) -> None:
    other = f"spiffe://{own.name}/somebody"
    following = Following(world, own, BundleProfile.HTTPS_SPIFFE, endpoint_id=other)

    with pytest.raises(Unavailable) as refusal:
        await following.kids()
    assert "SPIFFE ID" in refusal.value.message


async def test_an_endpoint_of_another_trust_domain_is_refused(
    world: World, own: TrustDomain, tmp_path: Path
) -> None:
    other = TrustDomain("other.example", tmp_path)
    try:
        following = Following(world, own, BundleProfile.HTTPS_SPIFFE, endpoint=other.endpoint)
        with pytest.raises(Unavailable):
            await following.kids()
    finally:
        other.close()
    assert other.fetches == 0


async def test_a_web_endpoint_is_not_trusted_for_showing_an_svid(world: World, own: TrustDomain) -> None:
    following = Following(world, own, BundleProfile.HTTPS_WEB)

    with pytest.raises(Unavailable):
        await following.kids()


async def test_a_file_alone_is_a_bundle(world: World, own: TrustDomain) -> None:
    following = Following(world, own, BundleProfile.HTTPS_WEB, endpoint=None)

    assert await following.kids() == {own.signing} and own.fetches == 0
