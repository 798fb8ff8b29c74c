"""Guards under fire: steady calls by the living, kills, and probes with the tokens of the dead.

Time runs from `refused_at`, which the control plane takes just before the commit of the end,
to the arrival of a guard's first refusal here; so every figure is an upper bound.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from sojourn.client.jsonfacts import text
from sojourn.core.window import parse
from tests.rig.calls import Answered, Holder, Lines
from tests.rig.system import API_GRANT, AUDIENCE, System

PROBE_EVERY_S: Final = 0.02
GIVE_UP_S: Final = 8.0
_AFTER_REFUSAL: Final = 3  # further probes: a refusal must last
_OPENERS: Final = 4
_SPARED: Final = 8  # the living do not call with a token that is about to be killed


@dataclass(frozen=True, slots=True)
class Load:
    """How hard, and how long."""

    kills: int
    kills_per_s: float = 4.0
    calls_per_s: float = 200.0
    keepers: int = 20  # sessions that live to the end


@dataclass(slots=True)
class Tally:
    """What was seen."""

    calls: int = 0
    probes: int = 0
    false_denies: list[Answered] = field(default_factory=list)
    relapses: list[Answered] = field(default_factory=list)  # accepted after a refusal
    refused_after_s: list[float] = field(default_factory=list)  # one for each kill at each guard
    kill_took_s: list[float] = field(default_factory=list)
    call_took_s: list[float] = field(default_factory=list)
    took_s: float = 0.0

    def line(self) -> str:
        """The figures in one line."""
        late = self.refused_after_s
        return (
            f"{len(late)} first refusals: p50 {_ms(late, 50)}, p99 {_ms(late, 99)}, "
            f"max {1000 * max(late):.0f} ms after the end; kill answered p50 {_ms(self.kill_took_s, 50)}, "
            f"p99 {_ms(self.kill_took_s, 99)}; {self.calls} calls by the living "
            f"({self.calls / self.took_s:.0f}/s, p50 {_ms(self.call_took_s, 50)}, p99 "
            f"{_ms(self.call_took_s, 99)}), {self.probes} probes, {len(self.false_denies)} false denies, "
            f"{len(self.relapses)} accepts after a refusal"
        )


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that `percent` of 100 do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def open_holders(system: System, count: int, *, grants: Sequence[str] = (API_GRANT,)) -> list[Holder]:
    """Open sessions, and hold their tokens."""
    with ThreadPoolExecutor(_OPENERS) as pool:
        opened = list(pool.map(lambda n: system.open(str(n), grants=grants), range(count)))
    return [Holder.of(live, AUDIENCE) for live in opened]


async def until_all_accept(ports: Sequence[int], holder: Holder, *, within_s: float = 10.0) -> float:
    """Wait until every guard accepts; when that was."""
    lines, give_up = Lines(), time.monotonic() + within_s
    try:
        for port in ports:
            while not (answered := await lines.get(port, holder)).accepted:
                assert time.monotonic() < give_up, f"still refused: {answered}"
                await asyncio.sleep(PROBE_EVERY_S)
    finally:
        await lines.close()
    return time.time()


class Flood:
    """One run."""

    def __init__(self, system: System, ports: Sequence[int], load: Load) -> None:
        self._system, self._ports, self._load = system, ports, load
        self._lines, self.tally = Lines(), Tally()
        self._killing = 0  # the number of the victim whose turn it is

    async def run(self) -> Tally:
        """Open all sessions, then fire."""
        load = self._load
        holders = await asyncio.to_thread(open_holders, self._system, load.keepers + load.kills)
        keepers, victims = holders[: load.keepers], holders[load.keepers :]
        await until_all_accept(self._ports, keepers[0])
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                living = group.create_task(self._live(keepers, victims))
                async with asyncio.TaskGroup() as killing:
                    async for number in _ticks(load.kills_per_s, load.kills):
                        self._killing = number
                        killing.create_task(self._kill(victims[number]))
                living.cancel()
        finally:
            await self._lines.close()
        self.tally.took_s = time.monotonic() - began
        return self.tally

    async def _live(self, keepers: Sequence[Holder], victims: Sequence[Holder]) -> None:
        async with asyncio.TaskGroup() as group:
            async for number in _ticks(self._load.calls_per_s):
                living = (*keepers, *victims[self._killing + _SPARED :])
                group.create_task(self._call(self._ports[number % len(self._ports)], random.choice(living)))

    async def _call(self, port: int, holder: Holder) -> None:
        answered = await self._lines.get(port, holder)
        self.tally.calls += 1
        self.tally.call_took_s.append(answered.heard_at - answered.sent_at)
        if not answered.accepted:
            self.tally.false_denies.append(answered)

    async def _kill(self, victim: Holder) -> None:
        probing = [asyncio.create_task(self._probe(port, victim)) for port in self._ports]
        asked_at = time.monotonic()
        view = await asyncio.to_thread(self._system.end, victim.session)
        self.tally.kill_took_s.append(time.monotonic() - asked_at)
        ended_at = parse(text(view.raw, "refused_at")).timestamp()
        for refused in await asyncio.gather(*probing):
            self.tally.refused_after_s.append(refused.heard_at - ended_at)
            if refused.heard_at < ended_at:
                self.tally.false_denies.append(refused)

    async def _probe(self, port: int, victim: Holder) -> Answered:
        refused: Answered | None = None
        left = _AFTER_REFUSAL
        async for _ in _ticks(1 / PROBE_EVERY_S, int(GIVE_UP_S / PROBE_EVERY_S)):
            answered = await self._lines.get(port, victim)
            self.tally.probes += 1
            if refused is None:
                refused = None if answered.accepted else answered
                continue
            if answered.accepted:
                self.tally.relapses.append(answered)
            left -= 1
            if not left:
                break
        assert refused is not None, f"a dead token is accepted after {GIVE_UP_S} s"
        return refused


class _ticks:  # noqa: N801 - reads as the verb it is
    """Numbers at a steady rate; a late one does not shift those after it."""

    def __init__(self, per_s: float, count: int | None = None) -> None:
        self._every, self._count = 1 / per_s, count
        self._number, self._began = -1, time.monotonic()

    def __aiter__(self) -> _ticks:
        return self

    async def __anext__(self) -> int:
        self._number += 1
        if self._number == self._count:
            raise StopAsyncIteration
        due = self._began + self._number * self._every
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        return self._number


def _ms(values: Sequence[float], percent: int) -> str:
    return f"{1000 * percentile(values, percent):.0f} ms"
