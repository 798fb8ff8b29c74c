"""Any issuer: the claims that a rule spells, and nothing beyond them."""

from __future__ import annotations

from typing import Any

import pytest

from sojourn.core.errors import Unauthenticated
from tests.attestors.world import US, World
from tests.rig.issuers.issuer import Issuer

pytestmark = pytest.mark.anyio
KIND = "oidc"
CLAIMS = {"sub": "client-7", "azp": "7", "team": "shop", "level": 3, "department": "x"}


async def ready(world: World, idp: Issuer) -> None:
    await world.federate(KIND, {"issuer": idp.url, "team": "shop", "level": "3"})


async def test_exact_claims_are_recognised_and_others_are_reported(world: World, idp: Issuer) -> None:
    await ready(world, idp)

    seen = await world.attest(KIND, idp.sign({**idp.stamp(US), **CLAIMS}))

    assert seen.context == {"oidc.sub": "client-7", "oidc.team": "shop", "oidc.level": "3"}
    assert seen.unknown == ("department",)


@pytest.mark.parametrize(
    "change",
    [
        {"team": "shoppers"},
        {"team": "sho"},
        {"team": ["shop"]},
        {"team": None},
        {"level": 3.0},
        {"level": "03"},
        {"sub": None},
        {"sub": ""},
        {"aud": [US, US + "/x"]},
    ],
    ids=str,
)
async def test_anything_else_is_refused(world: World, idp: Issuer, change: dict[str, Any]) -> None:
    await ready(world, idp)

    with pytest.raises(Unauthenticated):
        await world.attest(KIND, idp.sign({**idp.stamp(US), **CLAIMS, **change}))


@pytest.mark.parametrize(
    "header", [{"alg": "none"}, {"typ": "at+jwt"}, {"crit": ["x"]}, {"kid": "unheard"}], ids=str
)
async def test_a_header_that_would_widen_it_is_refused(
    world: World, idp: Issuer, header: dict[str, Any]
) -> None:
    await ready(world, idp)
    token = idp.sign({**idp.stamp(US), **CLAIMS})
    forged = _with_header(token, header)

    with pytest.raises(Unauthenticated):
        await world.attest(KIND, forged)


def _with_header(token: str, change: dict[str, Any]) -> str:
    import base64
    import json

    head, rest = token.split(".", 1)
    known = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    raw = json.dumps({**known, **change}).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode() + "." + rest
