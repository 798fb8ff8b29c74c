"""Targets: added with their secret sealed, tried out, drained, removed, compared with the record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sojourn.adapters.catalog_providers import CatalogProviders
from sojourn.adapters.file_keys import FileKeys
from sojourn.adapters.opened_store import open_memory
from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.system_clock import SystemClock, SystemEntropy
from sojourn.config import Settings
from sojourn.core.change import Change
from sojourn.core.errors import Conflict, Invalid, NotFound, SojournError, TargetError
from sojourn.core.ids import LEASE
from sojourn.core.lease import Lease, begin_destroy, destroyed, issued, plan
from sojourn.core.secret import Secret
from sojourn.core.session import activate, approve, prepare, request
from sojourn.core.standing import Standing
from sojourn.core.target import Target, TargetState
from sojourn.ports.provider import Intent, Presence, Provider
from sojourn.services.add_target import AddTarget
from sojourn.services.drain_target import DrainTarget
from sojourn.services.find_standing_access import FindStandingAccess
from sojourn.services.preflight_target import PreflightTarget
from sojourn.services.reconcile_target import ReconcileTarget
from sojourn.services.remove_target import RemoveTarget
from sojourn.testing.fakes import FakeProviders, FakeTarget, Fault
from tests.rig.store import START, a_lease, a_session, an_id

pytestmark = pytest.mark.anyio
CLOCK, ENTROPY = SystemClock(), SystemEntropy()
SETTINGS = Settings("https://sojourn.example", "dev0")
FAR = datetime(2100, 1, 1, tzinfo=UTC)
ADMIN = "postgresql://admin:canary-of-the-admin@db/shop"


class Strict(FakeTarget):
    """A provider that takes only templates with schemas."""

    def check_template(self, template: Mapping[str, object]) -> None:
        if "schemas" not in template:
            raise Invalid("bad_template", "expected `schemas`")


@dataclass
class House:
    """A store, keys, and one system that can be a target."""

    store: SqlStore
    keys: FileKeys
    there: FakeTarget = field(default_factory=lambda: Strict(CLOCK))

    @property
    def providers(self) -> FakeProviders:
        return FakeProviders({"shop": self.there})

    @property
    def add(self) -> AddTarget:
        catalog = CatalogProviders(self.store, self.keys.sealer, CLOCK, sealed_name=str)

        def make(target: Target, secret: Secret) -> Provider:
            return self.there if target.provider == "fake" else catalog.make(target, secret)

        return AddTarget(self.store, CLOCK, ENTROPY, self.keys.sealer, make=make)

    async def added(self, name: str = "shop", provider: str = "fake", **changes: object) -> Target:
        told = {"settings": {}, "templates": {"reader": {"schemas": []}}, "secret": Secret(ADMIN), **changes}
        return await self.add(name=name, provider=provider, **told)  # type: ignore[arg-type]

    async def preflight(self) -> Target:
        target, _ = await PreflightTarget(self.store, CLOCK, self.providers, SETTINGS)("shop")
        return target

    async def drain(self) -> Target:
        return await DrainTarget(self.store, CLOCK)("shop")

    async def remove(self) -> Target:
        return await RemoveTarget(self.store, CLOCK)("shop")

    @property
    def reconcile(self) -> ReconcileTarget:
        return ReconcileTarget(self.store, self.providers, SETTINGS)

    async def lease(self, target: Target, number: int = 1) -> Lease:
        """An issued lease of an active session, with its credential in the target."""
        step = request(a_session(number))
        step = step.then(approve(step.row, "charter", START))
        step = step.then(prepare(step.row, START))
        handle = SETTINGS.handle_prefix + an_id(LEASE, number).removeprefix("lea_")
        planned = plan(a_lease(number, step.row, target=target.id, handle=handle), START)
        made = await self.there.issue(Intent(handle, {}, FAR, FAR))
        known = issued(planned.row, made.target_id, START)
        await self.store.commit(Change(steps=(step, planned)))
        await self.store.commit(Change(steps=(activate(step.row, START), known)))
        return known.row

    async def write_off(self, lease: Lease) -> None:
        doomed = begin_destroy(lease, START)
        gone = destroyed(doomed.row, "test", START, START)
        await self.store.commit(Change(steps=(doomed.then(gone),)))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await open_memory()
    yield House(store, FileKeys(tmp_path / "keys"))
    await store.close()


async def code_of(attempt: object) -> str:
    with pytest.raises(SojournError) as refusal:
        await attempt  # type: ignore[misc]
    return refusal.value.code


# -- adding --------------------------------------------------------------------------------


async def test_a_target_is_added_untried_and_its_secret_only_sealed(house: House) -> None:
    target = await house.added(settings={"databases": ["shop"]})

    found = await house.store.target_named("shop")
    ciphertext = await house.store.sealed(f"target:{target.id}")
    leaves = b"".join(entry.leaf for entry in await house.store.journal(0, limit=9))
    assert found == target and target.state is TargetState.UNTRIED and target.revocation_class == "A"
    assert ciphertext is not None and ADMIN.encode() not in ciphertext
    assert house.keys.sealer.unseal(f"target:{target.id}", ciphertext) == ADMIN.encode()
    assert b"canary" not in leaves and "canary" not in repr(found)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "Shop"}, "bad_name"),
        ({"name": "../shop"}, "bad_name"),
        ({"name": ""}, "bad_name"),
        ({"provider": "nothing"}, "unknown_provider"),
        ({"provider": "postgresql", "secret": Secret("mysql://x")}, "bad_target"),
        ({"templates": {"reader": {}}}, "bad_template"),
    ],
)
async def test_what_cannot_be_a_target_leaves_nothing(
    house: House, change: dict[str, object], code: str
) -> None:
    assert await code_of(house.added(**change)) == code  # type: ignore[arg-type]
    assert await house.store.targets() == [] and (await house.store.head()).journal_size == 0


async def test_a_name_is_given_to_one_target_at_a_time(house: House) -> None:
    answers = await asyncio.gather(*(house.added() for _ in range(8)), return_exceptions=True)

    assert sum(isinstance(one, Target) for one in answers) == 1
    assert sum(isinstance(one, Conflict) for one in answers) == 7
    assert await code_of(house.added()) == "target_exists"


# -- preflight, drain, remove -----------------------------------------------------------------


async def test_only_a_passed_preflight_makes_a_target_ready_and_a_failed_one_unfit(house: House) -> None:
    await house.added()
    ready = await house.preflight()
    house.there.down = True
    with pytest.raises(TargetError):
        await house.preflight()
    unasked = await house.store.target_named("shop")

    assert ready.state is TargetState.READY and ready.preflight_at is not None
    assert unasked == ready, "a target that cannot be asked keeps its state"


async def test_a_draining_target_stays_draining_whatever_its_preflight_says(house: House) -> None:
    await house.added()
    await house.preflight()

    first, second = await house.drain(), await house.drain()
    tried = await house.preflight()

    assert first == second and tried.state is TargetState.DRAINING


async def test_a_target_is_removed_only_drained_and_empty(house: House) -> None:
    target = await house.added()
    await house.preflight()
    lease = await house.lease(target)

    ready = await code_of(house.remove())
    await house.drain()
    full = await code_of(house.remove())
    await house.write_off(lease)
    removed = await house.remove()

    assert (ready, full, removed.state) == ("not_drained", "target_has_leases", TargetState.REMOVED)
    assert await house.store.target_named("shop") is None
    again = await house.added()
    assert again.id != target.id and await house.store.replay_differences() == []


async def test_nothing_is_done_to_a_target_that_is_not_there(house: House) -> None:
    for attempt in (house.preflight(), house.drain(), house.remove(), house.reconcile("shop")):
        with pytest.raises(NotFound):
            await attempt


# -- reconcile ---------------------------------------------------------------------------------


async def test_what_a_target_holds_is_told_apart_by_what_is_on_record(house: House) -> None:
    target = await house.added()
    kept, lost = await house.lease(target, 1), await house.lease(target, 2)
    doomed, gone = await house.lease(target, 3), await house.lease(target, 4)
    await house.store.commit(Change(steps=(begin_destroy(doomed, START),)))
    await house.write_off(gone)
    del house.there.accounts[lost.target_ref or ""]
    strangers = [SETTINGS.handle_prefix + name for name in ("0" * 26, "not-an-id", "A" * 26)]
    for handle in (*strangers, "sj_othr_" + "0" * 26, "alice"):
        await house.there.issue(Intent(handle, {}, FAR, FAR))

    seen = await house.reconcile("shop")

    assert {one.handle for one in seen.unknown} == {gone.handle, *strangers}
    assert seen.missing == (lost.handle,) and seen.due == (doomed.handle,)
    assert seen.known == 2 and not seen.waiting and not seen.destroyed
    assert house.there.named(kept.handle) is not None


async def test_the_unknown_is_destroyed_only_when_asked_and_what_was_seen_is_said(house: House) -> None:
    await house.added()
    handles = [SETTINGS.handle_prefix + "0" * 25 + digit for digit in "12"]
    for handle in (*handles, "alice"):
        await house.there.issue(Intent(handle, {}, FAR, FAR))

    looked = await house.reconcile.apply("shop", destroy_unknown=False)
    left = len(house.there.living())
    house.there.fail_next("destroy", Fault.LIE)
    done = await house.reconcile.apply("shop", destroy_unknown=True)

    assert not looked.destroyed and left == 3
    assert {one.handle: one.presence for one in done.destroyed} == {
        handles[0]: Presence.PRESENT,
        handles[1]: Presence.ABSENT,
    }
    assert [one.handle for one in house.there.living()] == [handles[0], "alice"]


# -- what stands there -----------------------------------------------------------------------


class Listing(Strict):
    """A target that keeps a list of its accounts."""

    async def standing(self, prefix: str) -> Sequence[Standing]:
        told = {"database": {"target": "CHANGE-ME-mysql", "template": "readonly"}}
        return [Standing("mysql_account", f"mysql://{prefix}", "legacy", grants=told)]


@pytest.mark.parametrize("templates", [("readonly", "app"), ("app", "zeta")], ids=",".join)
async def test_what_stands_there_is_replaced_by_a_grant_of_that_target(
    house: House, templates: tuple[str, ...]
) -> None:
    house.there = Listing(CLOCK)
    await house.added(templates={name: {"schemas": []} for name in templates})

    (found,) = await FindStandingAccess(house.store, house.providers, SETTINGS)("shop")

    wanted = "readonly" if "readonly" in templates else "app"
    assert found.grants == {"database": {"target": "shop", "template": wanted}}
    assert found.place == f"mysql://{SETTINGS.handle_prefix}"


async def test_a_target_without_a_list_says_so(house: House) -> None:
    await house.added()

    assert (
        await code_of(FindStandingAccess(house.store, house.providers, SETTINGS)("shop"))
        == "not_discoverable"
    )
