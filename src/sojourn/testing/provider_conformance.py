"""What every provider must keep, as tests against its real target.

A provider's own tests supply a `Rig` and run each function of `SUITE`. A rig must look at
the target by a way of its own, never through the provider it judges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from sojourn.core.errors import TargetError
from sojourn.ports.provider import Intent, Issued, Observation, Presence, Provider, Ref, RevocationClass

WRITE_EVERY_SECONDS: Final = 0.02
RECONNECTING_TASKS: Final = 6
STOPPED_WITHIN: Final = timedelta(seconds=2)  # what class A promises
WORK_SECONDS: Final = 5.0  # until live work must have shown itself
LAG_SECONDS: Final = 20.0  # until a class that may lag must have come to an end

_LAGGING: Final = frozenset({RevocationClass.C, RevocationClass.D})


class Rig(Protocol):
    """One target as a workload and as an independent admin see it.

    Where credentials have no live connection, `at_work` calls the target again and again with
    the secret, and each call that is honoured counts as a write.
    """

    @property
    def provider(self) -> Provider:
        """The provider under test."""
        ...

    def intent(self) -> Intent:
        """A fresh intent whose template allows the rig's own work."""
        ...

    async def can_log_in(self, issued: Issued) -> bool:
        """Whether a new login with this secret succeeds now."""
        ...

    def at_work(self, issued: Issued, *, tasks: int, every: float) -> AbstractAsyncContextManager[None]:
        """Write every `every` seconds from each of `tasks` tasks, each reconnecting when cut."""
        ...

    async def writes(self, handle: str) -> int:
        """How many writes under `handle` the target holds, by the independent admin."""
        ...

    async def last_write(self, handle: str) -> datetime | None:
        """When the target saw the last write under `handle`, by the target's clock."""
        ...

    async def target_now(self) -> datetime:
        """The target's clock."""
        ...

    async def survivors(self, target_id: str) -> int:
        """Credentials and live connections left under the immutable id."""
        ...


async def an_issued_credential_works_and_a_destroyed_one_does_not(rig: Rig) -> None:
    intent = rig.intent()

    issued = await rig.provider.issue(intent)
    before = await rig.can_log_in(issued)
    await rig.provider.destroy(_ref(intent, issued))

    assert before
    at_once = rig.provider.revocation_class not in _LAGGING
    assert not (at_once and await rig.can_log_in(issued))
    await _gone(rig, _ref(intent, issued))
    assert not await rig.can_log_in(issued)


async def destroying_what_never_was_succeeds(rig: Rig) -> None:
    ref = Ref(rig.intent().handle, None)

    await rig.provider.destroy(ref)

    await _gone(rig, ref)


async def destroying_twice_at_once_succeeds(rig: Rig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = _ref(intent, issued)

    async with asyncio.TaskGroup() as group:
        group.create_task(rig.provider.destroy(ref))
        group.create_task(rig.provider.destroy(ref))
    await rig.provider.destroy(ref)

    await _gone(rig, ref)


async def a_late_issue_makes_nothing(rig: Rig) -> None:
    fresh = rig.intent()
    late = Intent(fresh.handle, fresh.template, fresh.issue_by - timedelta(minutes=1), fresh.expires_at)

    code = await _code_of(rig.provider.issue(late))

    assert code == "deadline_passed", code
    await _gone(rig, Ref(late.handle, None))


async def a_handle_is_issued_at_most_once(rig: Rig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)

    code = await _code_of(rig.provider.issue(intent))

    assert code is not None, "a second issue under one handle was accepted"
    assert await rig.can_log_in(issued), "the refused second issue harmed the first"
    await rig.provider.destroy(_ref(intent, issued))


async def an_unanswered_issue_can_be_found_and_destroyed(rig: Rig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)

    located = await rig.provider.locate(intent.handle)
    await rig.provider.destroy(Ref(intent.handle, None))

    assert located == issued.target_id
    await _gone(rig, Ref(intent.handle, issued.target_id))


async def a_frozen_credential_thaws_with_a_new_secret_only(rig: Rig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = _ref(intent, issued)

    await rig.provider.freeze(ref)
    await _cut_off(rig, ref)
    frozen = await rig.can_log_in(issued)
    thawed = await rig.provider.thaw(ref, replace(intent, issue_by=rig.intent().issue_by))

    assert not frozen, "a frozen credential logged in"
    assert await rig.can_log_in(thawed)
    assert not await rig.can_log_in(issued), "the old secret came back"
    assert thawed.connection == issued.connection, "it is reached in another way than before"
    # A session may end before it is on record what the thaw answered; but for what was kept.
    known = Ref(intent.handle, issued.target_id, intent.expires_at, kept=thawed.keep)
    await rig.provider.destroy(known)
    await _gone(rig, known)
    assert not await rig.can_log_in(thawed)


async def a_destroyed_credential_does_not_thaw(rig: Rig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = _ref(intent, issued)
    await rig.provider.destroy(ref)

    code = await _code_of(rig.provider.thaw(ref, intent))

    assert code is not None, "a destroyed credential thawed"
    await _gone(rig, ref)


async def inventory_lists_what_was_issued(rig: Rig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)

    found = await rig.provider.inventory(intent.handle)
    await rig.provider.destroy(_ref(intent, issued))

    if found is None:  # it keeps no list, and says so
        return
    assert [(one.handle, one.target_id) for one in found] == [(intent.handle, issued.target_id)]
    assert not await rig.provider.inventory(intent.handle)


async def live_work_stops_within_the_declared_time(rig: Rig) -> None:
    if rig.provider.revocation_class is not RevocationClass.A:
        return
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = _ref(intent, issued)
    async with rig.at_work(issued, tasks=RECONNECTING_TASKS, every=WRITE_EVERY_SECONDS):
        await _until_written(rig, intent.handle)

        begun = await rig.target_now()
        await rig.provider.destroy(ref)
        # The clients go on trying all the while; the time is over when the promise is.
        while await rig.target_now() < begun + STOPPED_WITHIN:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
        last = await rig.last_write(intent.handle)
        count = await rig.writes(intent.handle)
        await asyncio.sleep(10 * WRITE_EVERY_SECONDS)
        late = await rig.writes(intent.handle) - count

    assert last is not None and last < begun + STOPPED_WITHIN, f"written until {last}, destroyed from {begun}"
    assert late == 0, f"{late} writes after the promised time"
    await _gone(rig, ref)


SUITE: Final[tuple[Callable[[Rig], Awaitable[None]], ...]] = (
    an_issued_credential_works_and_a_destroyed_one_does_not,
    destroying_what_never_was_succeeds,
    destroying_twice_at_once_succeeds,
    a_late_issue_makes_nothing,
    a_handle_is_issued_at_most_once,
    an_unanswered_issue_can_be_found_and_destroyed,
    a_frozen_credential_thaws_with_a_new_secret_only,
    a_destroyed_credential_does_not_thaw,
    inventory_lists_what_was_issued,
    live_work_stops_within_the_declared_time,
)


async def an_unanswered_issue_is_not_taken_for_gone(rig: Rig) -> None:
    """For a target whose credentials have no name: nobody can find one that was not answered."""
    intent = rig.intent()
    await rig.provider.issue(intent)
    ref = Ref(intent.handle, None, intent.expires_at, lands_by=intent.issue_by)

    seen = await rig.provider.observe(ref)
    again = await rig.provider.observe(ref)

    assert seen.presence is Presence.UNKNOWN and seen.lasting is not None
    assert seen.lasting.until >= intent.issue_by and again.lasting == seen.lasting


REMADE_SUITE: Final = tuple(law for law in SUITE if law is not a_destroyed_credential_does_not_thaw)
"""The suite for a target that knows no pause: freezing takes away, thawing makes anew.

It cannot tell a frozen credential from a destroyed one; the lease can, and no service thaws
what is on its way out.
"""

NAMELESS_SUITE: Final = (
    *(
        law
        for law in REMADE_SUITE
        if law
        not in (
            a_handle_is_issued_at_most_once,
            an_unanswered_issue_can_be_found_and_destroyed,
            inventory_lists_what_was_issued,
        )
    ),
    an_unanswered_issue_is_not_taken_for_gone,
)
"""The suite for a target that knows no name of ours, and lists nothing."""


def _ref(intent: Intent, issued: Issued) -> Ref:
    """What is on record of an issue that was answered."""
    return Ref(intent.handle, issued.target_id, intent.expires_at, kept=issued.keep)


async def _settled(rig: Rig, ref: Ref, done: Callable[[Observation], bool]) -> Observation:
    """The first look that is `done`: the first of all for class A; one that lags must say until when."""
    give_up = asyncio.get_running_loop().time() + LAG_SECONDS
    while True:
        seen = await rig.provider.observe(ref)
        if done(seen) or rig.provider.revocation_class is RevocationClass.A:
            return seen
        if rig.provider.revocation_class in _LAGGING:
            assert seen.lasting is not None, f"{seen.presence} by {seen.method}, and not until when"
        assert asyncio.get_running_loop().time() < give_up, f"still {seen.presence} by {seen.method}"
        await asyncio.sleep(WRITE_EVERY_SECONDS)


async def _cut_off(rig: Rig, ref: Ref) -> None:
    def done(seen: Observation) -> bool:
        return seen.presence is Presence.ABSENT or (
            seen.presence is Presence.PRESENT and not seen.detail.get("login")
        )

    seen = await _settled(rig, ref, done)
    assert done(seen), f"frozen, and {seen.presence} by {seen.method}"


async def _gone(rig: Rig, ref: Ref) -> None:
    seen = await _settled(rig, ref, lambda one: one.presence is Presence.ABSENT)
    assert seen.presence is Presence.ABSENT, f"{seen.presence} by {seen.method}: {dict(seen.detail)}"
    if ref.target_id is not None:
        left = await rig.survivors(ref.target_id)
        assert left == 0, f"{left} survivors that the provider did not see"


async def _until_written(rig: Rig, handle: str) -> None:
    async with asyncio.timeout(WORK_SECONDS):
        while await rig.writes(handle) < RECONNECTING_TASKS:
            await asyncio.sleep(WRITE_EVERY_SECONDS)


async def _code_of(call: Awaitable[object]) -> str | None:
    try:
        await call
    except TargetError as error:
        return error.code
    return None
