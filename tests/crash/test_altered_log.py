"""What somebody altered in the stored log is named, and never signed over."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, update

from sojourn.adapters.opened_store import open_sqlite
from sojourn.adapters.replay_check import differences
from sojourn.adapters.sql_schema import fact
from sojourn.adapters.system_clock import SystemClock
from sojourn.core.change import Change
from sojourn.core.errors import SojournError, Unavailable
from sojourn.core.session import request
from sojourn.ledger.note import sign_note
from sojourn.ledger.note_keys import Ed25519Signer
from sojourn.services.seal_journal import SealJournal
from tests.rig.store import a_session

pytestmark = pytest.mark.anyio

SEALED = 300  # more than one tile


class OneKey:
    """A log's key that is never rotated."""

    def __init__(self, name: str) -> None:
        self._key = Ed25519Signer(name, random.randbytes(32))
        self.name, self.vkey = name, self._key.vkey
        self.vkeys = (self.vkey,)

    def sign_note(self, text: str) -> str:
        return sign_note(text, [self._key]).decode()


class Log:
    """A store with sealed facts, and what is done to its file behind its back."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.sqlite3"
        self._notes = OneKey("test/log")

    async def grow(self, first: int, count: int, *, seal: bool = True) -> int:
        """Open, add facts, seal, close; how many were sealed."""
        store = await open_sqlite(self.path)
        try:
            changes = [Change(steps=(request(a_session(n)),)) for n in range(first, first + count)]
            await asyncio.gather(*map(store.commit, changes))
            sealer = SealJournal(store, SystemClock(), self._notes, self._notes.name)
            return await sealer.run_once() if seal else 0
        finally:
            await store.close()

    async def differences(self) -> list[str]:
        """What the replay check says, whether it finds differences or gives up on the journal."""
        store = await open_sqlite(self.path)
        try:
            return await store.replay_differences()
        except SojournError as error:
            return [error.message]
        finally:
            await store.close()

    def alter(self, statement: str, *values: object) -> int:
        """Write to the file past every trigger; how many rows that changed."""
        with closing(sqlite3.connect(self.path)) as connection:
            for name in ("fact_is_never_changed", "fact_is_never_deleted"):
                connection.execute(f"DROP TRIGGER IF EXISTS {name}")
            changed = connection.execute(statement, values).rowcount
            connection.commit()
            return changed

    def flipped(self, index: int, share: float, bit: int) -> list[str]:
        """What the replay check says while one bit of a leaf is another; it is put right again."""
        engine = create_engine(f"sqlite:///{self.path}")
        with engine.connect() as connection:
            connection.exec_driver_sql("DROP TRIGGER IF EXISTS fact_is_never_changed")
            query = select(fact.c.leaf).where(fact.c.index == index)
            leaf = bytearray(connection.execute(query).scalar_one())
            leaf[int(share * len(leaf))] ^= 1 << bit
            connection.execute(update(fact).where(fact.c.index == index).values(leaf=bytes(leaf)))
            found = differences(connection)
            connection.rollback()
        engine.dispose()
        return found

    def checkpoints(self) -> int:
        """How many checkpoints there are."""
        with closing(sqlite3.connect(self.path)) as connection:
            return int(connection.execute("SELECT count(*) FROM checkpoint").fetchone()[0])


@pytest.fixture
async def log(tmp_path: Path) -> Log:
    """A log of more than one tile, sealed to its end."""
    made = Log(tmp_path)
    assert await made.grow(1, SEALED) == SEALED
    return made


ALTERED = {
    "a hash of the newest tile": "UPDATE tile SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) "
    'WHERE level = 0 AND "index" = 1',
    "the last hash": "UPDATE tile SET hashes = CAST(substr(hashes, 1, length(hashes) - 32) || zeroblob(32) "
    'AS BLOB) WHERE level = 0 AND "index" = 1',
    "a tile above": "UPDATE tile SET hashes = zeroblob(length(hashes)) WHERE level = 1",
    "the newest tile cut short": 'UPDATE tile SET hashes = substr(hashes, 1, 32) WHERE "index" = 1',
    "half a hash gone": "UPDATE tile SET hashes = substr(hashes, 1, length(hashes) - 16)",
    "no tiles": "DELETE FROM tile",
    "another checkpoint": "UPDATE checkpoint SET note = replace(note, 'test/log', 'rest/log')",
    "a checkpoint of more": "UPDATE checkpoint SET size = size + 1",
    "signed facts gone": 'DELETE FROM fact WHERE "index" > 290',
    "the last signed fact": 'UPDATE fact SET leaf = (SELECT leaf FROM fact WHERE "index" = 3) '
    f'WHERE "index" = {SEALED - 1}',
}


@pytest.mark.parametrize("altered", ALTERED)
async def test_an_altered_log_is_not_extended(log: Log, altered: str) -> None:
    assert log.alter(ALTERED[altered]) > 0

    with pytest.raises(Unavailable) as refusal:
        await log.grow(SEALED + 1, 5)

    assert refusal.value.code == "log_broken"
    assert log.checkpoints() == 1


async def test_a_log_that_nobody_altered_is_extended(log: Log) -> None:
    sealed = await log.grow(SEALED + 1, 5)

    assert sealed == 5
    assert await log.differences() == []


@pytest.mark.parametrize(
    "flips", [40, pytest.param(2000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
async def test_a_flipped_bit_of_a_leaf_is_named_with_its_fact(log: Log, flips: int) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)

    for _ in range(flips):
        index, share, bit = chance.randrange(SEALED), chance.random(), chance.randrange(8)
        found = log.flipped(index, share, bit)

        assert [line.partition(":")[0] for line in found] == [f"fact {index}"], (
            f"seed {seed}: bit {bit} at {share} of fact {index}: {found}"
        )


async def test_a_tail_of_facts_that_is_gone_is_noticed(log: Log) -> None:
    log.alter('DELETE FROM fact WHERE "index" > 290')

    found = await log.differences()

    assert f"head: the journal has 291 facts, the head says {SEALED}" in found
