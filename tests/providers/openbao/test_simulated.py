"""The suite against a simulated server, and what its ways to fail come to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.ports.provider import Presence, Ref
from sojourn.providers.openbao import OpenBao, Template
from sojourn.testing.provider_conformance import SUITE, Rig
from tests.providers.http_rig import ShiftedClock
from tests.providers.openbao.rig import APP, BaoRig
from tests.rig.http_simulator import Trouble
from tests.rig.openbao import ROOT_TOKEN, OpenBaoSimulator, Token

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bao() -> AsyncIterator[OpenBaoSimulator]:
    with OpenBaoSimulator() as simulator:
        yield simulator


@asynccontextmanager
async def opened(bao: OpenBaoSimulator) -> AsyncIterator[BaoRig]:
    clock = ShiftedClock()
    provider = OpenBao.configured({"address": bao.base}, {"app": APP}, Secret(ROOT_TOKEN), clock)
    async with httpx2.AsyncClient(trust_env=False) as line:
        yield BaoRig(bao.base, provider, clock, line)
    await provider.close()


@pytest.fixture
async def rig(bao: OpenBaoSimulator) -> AsyncIterator[BaoRig]:
    async with opened(bao) as one:
        yield one


@pytest.mark.parametrize("promise", SUITE, ids=lambda one: one.__name__)
async def test_a_simulated_openbao_keeps_the_contract(
    rig: BaoRig, promise: Callable[[Rig], Awaitable[None]]
) -> None:
    await promise(rig)


async def test_a_token_that_works_on_is_present_until_it_is_listed_no_more(
    rig: BaoRig, bao: OpenBaoSimulator
) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    bao.lag_s = 25
    await rig.provider.destroy(rig.ref(intent, issued))

    working = await rig.provider.observe(rig.ref(intent, issued))
    bao.ahead_s = 26
    gone = await rig.provider.observe(rig.ref(intent, issued))

    assert working.presence is Presence.PRESENT and working.detail["tokens"] == 1
    assert gone.presence is Presence.ABSENT


@pytest.mark.parametrize("lied", ["DELETE", "PUT"])
async def test_a_removal_that_lies_is_found_out_by_looking(
    rig: BaoRig, bao: OpenBaoSimulator, lied: str
) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    bao.trouble(Trouble.LIE, when=lambda asked: asked.method == lied)

    await rig.provider.destroy(rig.ref(intent, issued))

    assert (await rig.provider.observe(rig.ref(intent, issued))).presence is Presence.PRESENT


async def test_a_token_asked_for_before_the_end_is_refused_when_it_arrives_after_it(
    rig: BaoRig, bao: OpenBaoSimulator
) -> None:
    intent = rig.intent()
    await rig.provider.issue(intent)
    await rig.provider.destroy(Ref(intent.handle, intent.handle))

    with pytest.raises(TargetError, match="target_refused"):
        await rig.provider._make_token(intent, Template(("app",)))

    assert not bao.of_role(intent.handle)


async def test_a_life_that_the_server_would_cut_short_is_refused(rig: BaoRig, bao: OpenBaoSimulator) -> None:
    bao.longest_s = 60

    with pytest.raises(TargetError, match="too_long"):
        await rig.provider.issue(replace(rig.intent(), expires_at=rig.clock.now() + timedelta(hours=1)))


async def test_standing_tokens_are_those_that_no_session_made(rig: BaoRig, bao: OpenBaoSimulator) -> None:
    await rig.provider.issue(rig.intent())
    bao.tokens["s.old"] = Token("s.old", "", float("inf"))
    bao.tokens["s.theirs"] = Token("s.theirs", "sj_othr_x", float("inf"))

    found = await rig.provider.standing("sj_test_")

    assert {one.name: one.privileged for one in found} == {
        "accessor-of-s.old": True,
        "accessor-of-s.theirs": False,
    }


async def test_preflight_makes_a_canary_and_leaves_nothing(rig: BaoRig, bao: OpenBaoSimulator) -> None:
    checks = await rig.provider.preflight("sj_test_")

    assert checks and all(one.ok for one in checks), checks
    assert not bao.roles


@pytest.mark.parametrize(
    "template",
    [{}, {"policies": []}, {"policies": ["root"]}, {"policies": ["a b"]}, {"policies": ["app"], "ttl": "9h"}],
)
def test_a_template_that_cannot_be_bounded_is_refused(template: dict[str, object]) -> None:
    provider = OpenBao.configured({"address": "https://bao.test"}, {}, Secret("t"), ShiftedClock())

    with pytest.raises(Invalid, match="bad_template"):
        provider.check_template(template)


async def test_a_handle_that_would_lead_elsewhere_is_refused_before_anything_is_sent(
    rig: BaoRig, bao: OpenBaoSimulator
) -> None:
    for hostile in ("", "../sys", "a/b", "sj*", "SJ", "a b"):
        with pytest.raises(TargetError, match="bad_handle"):
            await rig.provider.destroy(Ref(hostile, hostile))

    assert not bao.asked
