"""Budgets on both dialects: never exceeded, by however many guards, also after a crash."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest

from sojourn.adapters.sql_store import SqlStore
from sojourn.core.charter import Budget
from sojourn.core.usage import Amounts, Chunk, Use
from sojourn.guard.budget import BudgetBook, Part, Report
from tests.guard.usage import a_book_over, an_access
from tests.rig.store import START, Place, a_session

pytestmark = pytest.mark.anyio
SESSION = a_session(1)
GUARDS, USES, BUDGET = 8, 1000, 777


def chunk(name: str, calls: int, *, holder: str = "g", life_s: int = 30) -> Chunk:
    return Chunk(name, SESSION.id, holder, Amounts(calls), START + timedelta(seconds=life_s))


async def test_a_chunk_is_spent_when_it_is_reserved_and_comes_back_when_reported(store: SqlStore) -> None:
    budget = Budget(calls=10, bytes=100)

    first = await store.reserve_use(chunk("a", 7), budget)
    second = await store.reserve_use(chunk("b", 7), budget)
    none = await store.reserve_use(chunk("c", 7), budget)
    assert (first.calls, second.calls, none.calls) == (7, 3, 0)
    use = Use(SESSION.id, SESSION.id, "g", Amounts(calls=2), "a", {"https://api read": 2})
    assert await store.report_use(use, START)
    assert not await store.report_use(use, START), "a second report of one chunk gives nothing back"

    found = await store.usage(SESSION.id, SESSION.id, START)
    assert (found.spent.calls, found.open_chunks, found.actions) == (5, 1, {"https://api read": 2})
    assert found.used_at == START


async def test_a_chunk_of_another_or_one_that_came_too_late_stays_spent(store: SqlStore) -> None:
    budget, late = Budget(calls=10), START + timedelta(seconds=31)
    await store.reserve_use(chunk("a", 6), budget)

    assert not await store.report_use(Use(SESSION.id, SESSION.id, "thief", Amounts(), "a"), START)
    assert not await store.report_use(Use(SESSION.id, SESSION.id, "g", Amounts(), "a"), late)
    await store.forget_expired(late)

    found = await store.usage(SESSION.id, SESSION.id, late)
    assert (found.spent.calls, found.open_chunks) == (6, 0)


async def test_more_used_than_reserved_counts_as_reserved(store: SqlStore) -> None:
    await store.reserve_use(chunk("a", 3), Budget(calls=3))
    await store.report_use(Use(SESSION.id, SESSION.id, "g", Amounts(calls=99), "a"), START)

    assert (await store.usage(SESSION.id, SESSION.id, START)).spent.calls == 3


class Accounts:
    """The control plane as one guard sees it, over the real store."""

    def __init__(self, store: SqlStore, name: str) -> None:
        self.store, self.name, self.made = store, name, 0

    async def ask_part(self, session: str, calls: int) -> Part:
        self.made += 1
        wanted = chunk(f"{self.name}-{self.made}", calls, holder=self.name)
        given = await self.store.reserve_use(wanted, Budget(calls=BUDGET))
        return Part(wanted.id, given.calls)

    async def report_use(self, reports: Iterable[Report]) -> None:
        for one in reports:
            use = Use(SESSION.id, SESSION.id, self.name, Amounts(calls=one.calls), one.chunk)
            await self.store.report_use(use, START)


async def _spend(books: list[BudgetBook], uses: int) -> int:
    async def one(book: BudgetBook) -> int:
        return sum([await a_book_over(book, an_access(SESSION.id)) for _ in range(uses)])

    return sum(await asyncio.gather(*(one(book) for book in books)))


async def test_eight_guards_never_exceed_a_budget_and_use_nearly_all_of_it(place: Place) -> None:
    nodes = [await place.open()]
    nodes += [await place.open()] if place.dialect == "postgresql" else []
    books = [BudgetBook(Accounts(nodes[n % len(nodes)], f"g{n}"), _Still()) for n in range(GUARDS)]

    accepted = await _spend(books, USES // 4)
    for book in books:
        await book.flush()
    accepted += await _spend(books, USES - USES // 4)

    found = await nodes[0].usage(SESSION.id, SESSION.id, START)
    for node in nodes:
        await node.close()
    assert accepted == BUDGET == found.spent.calls


async def test_a_guard_that_crashes_loses_its_part_and_nobody_gets_it_twice(place: Place) -> None:
    node = await place.open()
    books = [BudgetBook(Accounts(node, f"g{n}"), _Still()) for n in range(GUARDS)]
    before = await _spend(books, random.randrange(1, 60))

    again = await place.open() if place.dialect == "postgresql" else node  # the store, too, is another
    fresh = [BudgetBook(Accounts(again, f"h{n}"), _Still()) for n in range(GUARDS)]
    after = await _spend(fresh, USES)

    found = await again.usage(SESSION.id, SESSION.id, START)
    for one in {node, again}:
        await one.close()
    assert before + after <= BUDGET == found.spent.calls


class _Still:
    """A clock that stands."""

    def now(self) -> datetime:
        return START

    def mono(self) -> float:
        return 0.0
