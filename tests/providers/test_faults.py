"""What can go wrong between a provider and its target, the same list for each of them.

The reaper's part is played here: find the credential by its handle, destroy, observe.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from sojourn.core.errors import TargetError
from sojourn.ports.provider import Presence, Provider, Ref
from tests.providers.kits import FAULTY
from tests.providers.kits.kit import Kit
from tests.rig.poll import fault_falls_after, until_async
from tests.rig.proxy import Proxy, Rule

pytestmark = pytest.mark.anyio

LATER_SECONDS = float(os.environ.get("SOJOURN_TEST_LATER_SECONDS", "0.7"))
TRIALS = int(os.environ.get("SOJOURN_TEST_HELD_TRIALS", "3"))
MOST_MESSAGES = 40  # more than any issue or destroy needs
# Many small calls over HTTP, or a login for each: longer than the default suite allows.
SLOW = ("rabbitmq", "nats", "postgresql")
EVERY_MESSAGE = pytest.mark.parametrize(
    "kit",
    [pytest.param(one, marks=pytest.mark.slow if one in SLOW else ()) for one in FAULTY],
    indirect=True,
)


@asynccontextmanager
async def behind(kit: Kit, **settings: float) -> AsyncIterator[tuple[Proxy, Provider]]:
    """A proxy before the kit's server, and a provider that goes through it."""
    async with Proxy(kit.port, frames=False) as proxy:
        provider = kit.through(proxy.port, None, **settings)
        try:
            yield proxy, provider
        finally:
            await provider.close()


async def reaped(kit: Kit, handle: str) -> bool:
    """Whether the handle is gone after rounds of the reaper, which looks and destroys until it is."""

    async def gone() -> bool:
        found = await kit.provider.locate(handle)  # what was sent may still be under way
        if found is not None:
            await kit.provider.destroy(Ref(handle, found))
        return await kit.absent(Ref(handle, found))

    return await until_async(gone, within_s=3)


async def cut_at_each_message(
    proxy: Proxy,
    call: Callable[[], Awaitable[object]],
    *,
    arrives: bool,
    settle: Callable[[], Awaitable[None]],
) -> int:
    """Run `call` with its connection cut at the first message, the second, … until it succeeds."""
    for number in range(1, MOST_MESSAGES):
        proxy.seen, proxy.cut_at, proxy.cut_arrives = 0, number, arrives
        try:
            await call()
        except TargetError:
            await settle()
            continue
        if proxy.seen < number:  # it needed fewer messages than that
            return number - 1
        await settle()
    raise AssertionError("it never got through")


@EVERY_MESSAGE
@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "unanswered"])
async def test_an_issue_cut_at_any_message_leaves_nothing_the_reaper_does_not_find(
    kit: Kit, arrives: bool
) -> None:
    handles: list[str] = []
    async with behind(kit, **({"pool_size": 1} if kit.pooled else {})) as (proxy, provider):

        async def issue() -> None:
            handles.append(kit.handle())
            await provider.issue(kit.intent(handle=handles[-1]))

        async def settle() -> None:
            assert await reaped(kit, handles[-1])

        messages = await cut_at_each_message(proxy, issue, arrives=arrives, settle=settle)

    assert messages >= 2
    assert await reaped(kit, handles[-1])


@EVERY_MESSAGE
@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "unanswered"])
async def test_a_destroy_cut_at_any_message_can_be_repeated(kit: Kit, arrives: bool) -> None:
    refs: list[Ref] = []
    async with behind(kit, **({"pool_size": 1} if kit.pooled else {})) as (proxy, provider):

        async def destroy() -> None:
            intent = kit.intent()
            issued = await kit.provider.issue(intent)
            refs.append(Ref(intent.handle, issued.target_id))
            await provider.destroy(refs[-1])

        async def settle() -> None:
            await kit.provider.destroy(refs[-1])
            assert await until_async(lambda: kit.absent(refs[-1]), within_s=3)

        messages = await cut_at_each_message(proxy, destroy, arrives=arrives, settle=settle)

    assert messages >= 2
    assert await kit.absent(refs[-1])


async def test_an_issue_whose_answer_is_lost_is_found_and_destroyed(kit: Kit) -> None:
    async with behind(kit) as (proxy, provider):
        proxy.rules = [Rule(kit.issue_word, drop_reply=True, cut_after=True)]
        intent = kit.intent()

        with pytest.raises(TargetError) as lost:
            await provider.issue(intent)

        landed = await kit.accounts(intent.handle)
        repeated = await _code_of(kit.provider.issue(intent))
    assert lost.value.sent
    assert landed == 1
    assert repeated == "handle_taken"
    assert await reaped(kit, intent.handle)


async def test_an_issue_that_never_left_says_so(kit: Kit) -> None:
    async with behind(kit) as (proxy, provider):
        proxy.refusing = True

        with pytest.raises(TargetError) as failed:
            await provider.issue(kit.intent())

    assert (failed.value.code, failed.value.sent) == ("target_unreachable", False)


async def test_a_target_out_of_reach_is_never_taken_for_an_absence(kit: Kit) -> None:
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id)
    async with behind(kit) as (proxy, provider):
        proxy.refusing = True

        codes = [await _code_of(provider.destroy(ref)), await _code_of(provider.observe(ref))]
        proxy.refusing = False
        await provider.destroy(ref)

        seen = await provider.observe(ref)
    assert codes == ["target_unreachable", "target_unreachable"]
    assert seen.presence is Presence.ABSENT
    assert await kit.absent(ref)


async def test_a_target_that_hangs_ends_each_call_at_its_own_deadline(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DESTROY_SECONDS", "FREEZE_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(f"{type(kit.provider).__module__}.{name}", 0.5)
    ref = Ref(kit.handle(), None)
    async with behind(kit) as (proxy, provider):
        await provider.destroy(ref)
        proxy.stalled = True

        calls = (
            provider.destroy(ref),
            provider.freeze(ref),
            provider.observe(ref),
            provider.locate(ref.handle),
        )
        async with asyncio.timeout(5):
            codes = await asyncio.gather(*map(_code_of, calls))
        proxy.stalled = False

        await provider.destroy(ref)
    assert set(codes) == {"target_timeout"}


async def test_a_destroy_that_stops_half_way_has_refused_and_says_what_is_left(kit: Kit) -> None:
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id)
    async with behind(kit) as (proxy, provider):
        proxy.rules = [Rule(kit.destroy_words[-1], drop=True)]
        call = asyncio.create_task(provider.destroy(ref))
        await until_async(lambda: _used(proxy))
        call.cancel()
        await asyncio.wait([call])

        seen = await kit.provider.observe(ref)
    assert kit.removes_at_once or seen.presence is Presence.PRESENT
    assert not await kit.can_log_in(issued)
    await kit.provider.destroy(ref)
    assert await kit.absent(ref)


async def test_a_credential_that_comes_back_is_seen(kit: Kit) -> None:
    """A target that says it is gone and brings it back: only the next look can tell."""
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id)
    await kit.provider.destroy(ref)
    before = await kit.provider.observe(ref)

    again = await kit.provider.issue(replace(kit.intent(handle=intent.handle)))

    after = await kit.provider.observe(Ref(intent.handle, again.target_id))
    await kit.provider.destroy(Ref(intent.handle, again.target_id))
    assert (before.presence, after.presence) == (Presence.ABSENT, Presence.PRESENT)
    assert await kit.absent(ref)


async def test_what_is_held_back_beyond_its_deadline_never_lands(kit: Kit) -> None:
    """The session ends meanwhile; the message arrives afterwards, from a client that has gone."""
    handles = [kit.handle("_held") for _ in range(2 * TRIALS)]
    thawed = handles[TRIALS:]
    ids = {one: (await kit.provider.issue(kit.intent(handle=one))).target_id for one in thawed}
    for handle, target_id in ids.items():
        await kit.provider.freeze(Ref(handle, target_id))
    async with Proxy(kit.port, frames=False) as proxy:
        # One provider a trial, as with several processes.
        providers = [kit.through(proxy.port, None, issue_seconds=kit.fence_seconds) for _ in handles]
        held = kit.fence_seconds + LATER_SECONDS
        words = [kit.issue_word] * TRIALS + [kit.thaw_word] * TRIALS
        proxy.rules = [Rule(word, hold_seconds=held) for word in words]
        intents = [kit.intent(handle=one) for one in handles]
        calls = [one.issue(it) for one, it in zip(providers[:TRIALS], intents[:TRIALS], strict=True)]
        calls += [
            one.thaw(Ref(it.handle, ids[it.handle]), it)
            for one, it in zip(providers[TRIALS:], intents[TRIALS:], strict=True)
        ]

        codes = await asyncio.gather(*map(_code_of, calls))
        gone = [await reaped(kit, one) for one in handles]
        await until_async(lambda: _let_go(proxy, 2 * TRIALS), within_s=held + 5)
        await fault_falls_after(0.3)  # what was let go may act now, if it can
        for one in providers:
            await one.close()

    assert None not in codes
    assert all(gone)
    assert [await kit.accounts(one) for one in handles] == [0] * len(handles)


async def test_what_is_held_back_for_a_moment_does_land(kit: Kit) -> None:
    """Shows that the test above can fail: before its deadline, the same message counts."""
    intent = kit.intent()
    intent = replace(intent, issue_by=intent.issue_by + timedelta(seconds=1))
    async with behind(kit) as (proxy, provider):
        proxy.rules = [Rule(kit.issue_word, hold_seconds=0.8)]
        call = asyncio.create_task(provider.issue(intent))
        await until_async(lambda: _used(proxy))
        call.cancel()

        await until_async(lambda: kit.accounts(intent.handle))

    assert await reaped(kit, intent.handle)


async def test_a_replaced_admin_password_heals_refused_logins(kit: Kit) -> None:
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id)
    stranger = kit.through(kit.port)
    secret = await kit.rotate()
    try:
        with pytest.raises(TargetError) as refused:
            await stranger.destroy(ref)
        still = await kit.can_log_in(issued)
        healed = kit.through(kit.port, secret=secret)
        await healed.destroy(ref)
        await healed.close()
    finally:
        await kit.unrotate()
        await stranger.close()
    assert refused.value.code == "admin_login_refused"
    assert still
    assert await kit.absent(ref)


async def test_a_cancelled_call_leaves_no_half_used_connection(kit: Kit) -> None:
    async with behind(kit) as (proxy, provider):
        await provider.locate(kit.handle())
        proxy.stalled = True
        call = asyncio.create_task(provider.inventory("sj_test_"))
        await fault_falls_after(0.05)

        call.cancel()
        await asyncio.wait([call])
        proxy.stalled = False

        assert call.cancelled()
        assert await provider.locate(kit.handle()) is None


async def test_a_server_that_hung_up_is_reached_again(kit: Kit) -> None:
    async with behind(kit) as (proxy, provider):
        await provider.locate(kit.handle())

        proxy.cut()
        await fault_falls_after(0.05)

        assert await provider.locate(kit.handle()) is None


async def _code_of(call: Awaitable[object]) -> str | None:
    try:
        await call
    except TargetError as error:
        return error.code
    return None


async def _used(proxy: Proxy) -> bool:
    return all(rule.used for rule in proxy.rules)


async def _let_go(proxy: Proxy, count: int) -> bool:
    return proxy.let_go >= count
