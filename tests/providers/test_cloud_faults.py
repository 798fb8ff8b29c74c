"""What can go wrong between a provider and an HTTP API, the same list for each of them.

The reaper's part is played here: find the credential by its handle, destroy, observe. What lies and
lags is in the tests of each provider, which know what their API may say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress

import pytest

from sojourn.core.errors import TargetError
from sojourn.ports.provider import Intent, Issued, Presence, Ref
from tests.providers.aws_sts.test_aws_sts import SPREADS_S
from tests.providers.clouds import CLOUDS, Cloud, once
from tests.rig.http_simulator import Trouble
from tests.rig.poll import until_async

pytestmark = pytest.mark.anyio
MOST_REQUESTS = 20  # more than any issue or destroy needs
FOR_EVER = 1000
UNDONE = (Trouble.CUT, Trouble.BROKEN, Trouble.THROTTLED)
EACH_TROUBLE = pytest.mark.parametrize(
    "trouble", [Trouble.LOST, *(pytest.param(one, marks=pytest.mark.slow) for one in UNDONE)]
)


@pytest.fixture(params=CLOUDS)
async def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with CLOUDS[request.param]() as one:
        yield one


async def reaped(cloud: Cloud, intent: Intent, issued: Issued | None) -> bool:
    """Whether nothing is left after a round of the reaper, or what is left says until when."""
    if issued is None:
        located = await cloud.provider.locate(intent.handle)
        ref = Ref(intent.handle, located, intent.expires_at, lands_by=intent.issue_by)
    else:
        ref = cloud.ref(intent, issued)
    await cloud.provider.destroy(ref)

    async def over() -> bool:
        seen = await cloud.provider.observe(ref)
        waited_out = seen.presence is Presence.UNKNOWN and issued is None and seen.lasting is not None
        cloud.later(SPREADS_S)  # a denial of AWS takes a moment to be heard everywhere
        return seen.presence is Presence.ABSENT or waited_out

    is_over = await until_async(over, within_s=10)
    assert issued is None or not await cloud.rig.can_log_in(issued)
    if ref.target_id is not None and await cloud.provider.inventory(intent.handle) is not None:
        assert not await cloud.rig.survivors(ref.target_id)
    return is_over


@EACH_TROUBLE
async def test_an_issue_that_fails_at_any_request_leaves_nothing_the_reaper_does_not_find(
    cloud: Cloud, trouble: Trouble
) -> None:
    for number in range(1, MOST_REQUESTS):
        intent, issued = cloud.rig.intent(), None
        asked = len(cloud.simulator.asked)
        cloud.simulator.trouble(trouble, when=once(number))
        with suppress(TargetError):
            issued = await cloud.provider.issue(intent)
        reached = len(cloud.simulator.asked) - asked >= number
        cloud.simulator.calm()
        assert await reaped(cloud, intent, issued)
        if not reached:
            break

    assert number >= 2


@EACH_TROUBLE
async def test_a_destroy_that_fails_at_any_request_is_never_taken_for_done_and_can_be_repeated(
    cloud: Cloud, trouble: Trouble
) -> None:
    for number in range(1, MOST_REQUESTS):
        intent = cloud.rig.intent()
        issued = await cloud.provider.issue(intent)
        asked = len(cloud.simulator.asked)
        cloud.simulator.trouble(trouble, when=once(number))
        await code_of(cloud.provider.destroy(cloud.ref(intent, issued)))
        reached = len(cloud.simulator.asked) - asked >= number
        cloud.simulator.calm()

        seen = await cloud.provider.observe(cloud.ref(intent, issued))
        assert seen.presence is not Presence.ABSENT or not await cloud.rig.can_log_in(issued)
        assert await reaped(cloud, intent, issued)
        if not reached:
            break

    assert number >= 2


async def test_a_cloud_out_of_reach_is_never_taken_for_an_absence(cloud: Cloud) -> None:
    intent = cloud.rig.intent()
    issued = await cloud.provider.issue(intent)
    ref = cloud.ref(intent, issued)
    cloud.simulator.trouble(Trouble.CUT, times=FOR_EVER)

    codes = [await code_of(cloud.provider.destroy(ref)), await code_of(cloud.provider.observe(ref))]
    cloud.simulator.calm()

    assert codes == ["target_unreachable", "target_unreachable"]
    assert await cloud.rig.can_log_in(issued)
    assert await reaped(cloud, intent, issued)


async def test_a_cloud_that_hangs_ends_each_call_at_its_own_deadline(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = cloud.rig.intent()
    issued = await cloud.provider.issue(intent)
    ref = cloud.ref(intent, issued)
    cloud.simulator.trouble(Trouble.HUNG, times=FOR_EVER)

    with monkeypatch.context() as patch:
        patch.setattr(f"{type(cloud.provider).__module__}.METHOD_SECONDS", 0.2)
        codes = [
            await code_of(cloud.provider.destroy(ref)),
            await code_of(cloud.provider.observe(ref)),
            await code_of(cloud.provider.issue(cloud.rig.intent())),
        ]
    cloud.simulator.calm()

    assert codes == ["target_timeout"] * 3
    assert await reaped(cloud, intent, issued)


async def test_a_request_that_lands_after_the_end_is_found_or_ends_by_itself(cloud: Cloud) -> None:
    """Each request of an issue is held, its session is reaped, and then it arrives."""
    for number in range(1, MOST_REQUESTS):
        intent = cloud.rig.intent()
        cloud.simulator.trouble(Trouble.HELD, when=once(number))
        code = await code_of(cloud.provider.issue(intent))
        cloud.simulator.calm()
        if code is None:  # it needed fewer requests than that
            break
        assert await reaped(cloud, intent, None)

        assert cloud.simulator.deliver() == 1

        # Its answer reached nobody. What it made has our name on it, or the end it was asked for.
        found = await cloud.provider.inventory(intent.handle)
        if found is None:
            ref = Ref(intent.handle, None, intent.expires_at, lands_by=intent.issue_by)
            assert (await cloud.provider.observe(ref)).lasting is not None
        for one in found or ():
            await cloud.provider.destroy(Ref(one.handle, one.target_id, intent.expires_at))
            assert not await cloud.rig.survivors(one.target_id)
        assert not found or not await cloud.provider.inventory(intent.handle)

    assert number >= 2


async def test_a_replaced_admin_credential_heals_refused_calls(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = cloud.rig.intent()
    issued = await cloud.provider.issue(intent)
    with monkeypatch.context() as patch:
        cloud.rotate(patch)

        refused = await code_of(cloud.provider.issue(cloud.rig.intent()))
        destroyed = await code_of(cloud.provider.destroy(cloud.ref(intent, issued)))
        still = await cloud.rig.can_log_in(issued)

    # OpenBao says of a token that it does not know what it says of one that may not.
    expected = "missing_privilege" if cloud.name == "openbao" else "admin_login_refused"
    # GitHub's tokens end themselves: no right of the admin is needed.
    ended = cloud.name == "github_app"
    assert (refused, destroyed, still) == (expected, None if ended else expected, not ended)
    assert await reaped(cloud, intent, issued)


async def code_of(call: Awaitable[object]) -> str | None:
    """The code of the error that a call ends with, or None."""
    try:
        await call
    except TargetError as error:
        return error.code
    return None
