"""A bundle is written under a checkpoint that covers it, and verifies with the log's key alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sojourn.adapters.file_keys import FileKeys
from sojourn.adapters.key_ring import KeyRing
from sojourn.adapters.opened_store import open_memory
from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.system_clock import SystemClock
from sojourn.core.change import Change
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import NotFound, Unavailable
from sojourn.core.session import approve, begin_end, request
from sojourn.ledger.verdict import Result
from sojourn.ledger.verify import verify
from sojourn.ports.keys import NoteSigner
from sojourn.services._keys import Keys
from sojourn.services.seal_journal import SealJournal
from sojourn.services.tend_keys import TendKeys
from sojourn.services.write_evidence import WAIT_FOR_SEAL_S, WriteEvidence
from tests.rig.store import SECOND, START, a_session, opened

pytestmark = pytest.mark.anyio
ENDED = Cause(Reason.COMPLETED, "cli_x")


async def _nothing() -> None:
    return None


class FastClock:
    """A clock whose waits are over at once, and counted; `on_sleep` is what happens meanwhile."""

    def __init__(self) -> None:
        self.slept = 0.0
        self.on_sleep: Callable[[], Awaitable[None]] = _nothing

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        await self.on_sleep()


@dataclass
class Log:
    """A store whose journal is sealed when told."""

    store: SqlStore
    notes: NoteSigner
    clock: FastClock

    async def end(self, number: int) -> None:
        """A session that is asked for, approved, and over."""
        step = request(a_session(number))
        step = step.then(approve(step.row, "charter", START))
        step = step.then(begin_end(step.row, ENDED, START + SECOND))
        await self.store.commit(Change(steps=(step,)))

    async def seal(self) -> None:
        await SealJournal(self.store, SystemClock(), self.notes, self.notes.name).run_once()

    async def write(self, number: int) -> str:
        return await WriteEvidence(self.store, self.clock, self.notes)(a_session(number).id)


async def a_signer(store: SqlStore, folder: Path) -> NoteSigner:
    """What signs for the log of a deployment with this store and these keys."""
    clock, vault = SystemClock(), FileKeys(folder).vault
    ring = KeyRing(store, vault, clock)
    await TendKeys(Keys(store, clock, vault, ring), ring, clock).run_once()
    return ring.notes("sojourn.dev0/log")


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    store = await open_memory()
    yield Log(store, await a_signer(store, tmp_path / "keys"), FastClock())
    await store.close()


async def test_a_bundle_verifies_with_the_key_of_the_log_and_with_no_other(log: Log, tmp_path: Path) -> None:
    await log.end(1)
    await log.seal()
    elsewhere = await open_memory()
    other = await a_signer(elsewhere, tmp_path / "others")
    await elsewhere.close()

    bundle = (await log.write(1)).encode()

    told = verify(bundle, [log.notes.vkey])
    assert (told.result, told.session) == (Result.VERIFIED, a_session(1).id)
    assert verify(bundle).result is Result.SELF_CONSISTENT
    assert verify(bundle, [other.vkey]).result is Result.FAILED


@pytest.mark.parametrize("among", [1, 2, 255, 256, 257, 600])
async def test_every_session_is_proven_whatever_the_size_of_the_log(log: Log, among: int) -> None:
    for number in range(1, among, 2):
        await opened(log.store, number)
    await log.end(1000)
    await log.seal()
    await opened(log.store, 2000)
    await log.seal()

    told = verify((await log.write(1000)).encode(), [log.notes.vkey])

    assert told.result is Result.VERIFIED, told.failed


async def test_only_the_facts_of_that_session_are_in_it(log: Log) -> None:
    await log.end(1)
    await log.end(2)
    await log.seal()

    content = json.loads((await log.write(1)).splitlines()[1])

    assert {fact["session"] for fact in content["facts"]} == {a_session(1).id}


async def test_a_fact_that_is_not_sealed_yet_is_waited_for(log: Log) -> None:
    await log.end(1)
    log.clock.on_sleep = log.seal

    bundle = (await log.write(1)).encode()

    assert verify(bundle, [log.notes.vkey]).result is Result.VERIFIED
    assert 0 < log.clock.slept < WAIT_FOR_SEAL_S


async def test_without_a_seal_there_is_no_bundle(log: Log) -> None:
    await log.end(1)
    await log.seal()
    await opened(log.store, 2)

    with pytest.raises(Unavailable) as refusal:
        await log.write(2)

    assert refusal.value.code == "not_sealed"
    assert WAIT_FOR_SEAL_S <= log.clock.slept < WAIT_FOR_SEAL_S + 1


async def test_what_nobody_asked_for_has_no_evidence(log: Log) -> None:
    with pytest.raises(NotFound):
        await log.write(7)
