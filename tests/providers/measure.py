"""Measures what taking away means at each target: the class, by kills under live work.

Writers that reconnect work every 20 ms; the credential is destroyed in the middle of it.
`python -m tests.providers.measure [KILLS] [PROVIDER...]` prints a table and fails where a
declared class is not the measured one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from sojourn.ports.provider import Presence, Ref, RevocationClass
from sojourn.testing.provider_conformance import (
    STOPPED_WITHIN,
    WORK_SECONDS,
    WRITE_EVERY_SECONDS,
)
from tests.providers.kits import ALL, Servers
from tests.providers.kits.kit import Kit

KILLS: Final = 100
WATCHED_SECONDS: Final = 0.5  # after a destroy, while the writers go on trying
SURVIVED_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Kill:
    """One credential that was destroyed at work."""

    ref: Ref
    to_last_effect: timedelta  # from the beginning of the destroy, by the target's clock
    login_refused: bool
    seen_absent: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """What all kills of one provider say together."""

    provider: str
    declared: RevocationClass
    kills: Sequence[Kill]
    survivors: int
    unseen: int  # workloads that hid, and went on after they were said to be gone

    @property
    def revocation_class(self) -> RevocationClass:
        """The class that was earned: the weakest kill decides."""
        if not all(kill.login_refused for kill in self.kills):
            return RevocationClass.D
        if self.quantile(1.0) > STOPPED_WITHIN:
            return RevocationClass.C
        verified = not self.survivors and not self.unseen and all(kill.seen_absent for kill in self.kills)
        return RevocationClass.A if verified else RevocationClass.B

    def quantile(self, part: float) -> timedelta:
        """The time to the last live effect that `part` of the kills stayed within."""
        ordered = sorted(kill.to_last_effect for kill in self.kills)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


async def measure(kit: Kit, kills: int) -> Measured:
    """Kill `kills` credentials, a few at a time, and look for survivors afterwards."""
    done: list[Kill] = []
    slots = asyncio.Semaphore(kit.kills_at_once)

    async def one() -> None:
        async with slots:
            done.append(await _kill(kit))

    async with asyncio.TaskGroup() as group:
        for _ in range(kills):
            group.create_task(one())
    give_up = asyncio.get_running_loop().time() + SURVIVED_SECONDS
    while survivors := sum([await kit.survivors(str(kill.ref.target_id)) for kill in done]):
        if asyncio.get_running_loop().time() > give_up:
            break
        await asyncio.sleep(WRITE_EVERY_SECONDS)
    unseen = await _unseen(kit)
    return Measured(kit.name, kit.provider.revocation_class, done, survivors, unseen)


async def _unseen(kit: Kit) -> int:
    """Whether a workload that does its worst to hide outlives its end: 1, or 0."""
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id)
    async with kit.stowed_away(issued) as process:
        await kit.provider.destroy(ref)
        seen = await kit.provider.observe(ref)
        lives = process is not None and await asyncio.to_thread(Path(f"/proc/{process}").exists)
    return int(lives and seen.presence is Presence.ABSENT)


async def _kill(kit: Kit) -> Kill:
    intent = kit.intent()
    issued = await kit.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id)
    async with kit.at_work(issued, tasks=kit.writers, every=WRITE_EVERY_SECONDS):
        async with asyncio.timeout(4 * WORK_SECONDS):
            while await kit.writes(intent.handle) < kit.writers:
                await asyncio.sleep(WRITE_EVERY_SECONDS)
        begun = await kit.target_now()
        await kit.provider.destroy(ref)
        await asyncio.sleep(WATCHED_SECONDS)
        last = await kit.last_write(intent.handle)
        refused = not await kit.can_log_in(issued)
    seen = await kit.provider.observe(ref)
    late = max(timedelta(0), last - begun) if last is not None else timedelta(0)
    return Kill(ref, late, refused, seen.presence is Presence.ABSENT)


def table(rows: Sequence[Measured]) -> str:
    """The rows, for people."""
    lines = [_line("provider", "declared", "measured", "kills", "p50 ms", "p99 ms", "survivors", "unseen")]
    for row in rows:
        p50, p99 = (f"{1000 * row.quantile(part).total_seconds():.0f}" for part in (0.5, 0.99))
        counts = (str(count) for count in (row.survivors, row.unseen))
        kills = str(len(row.kills))
        lines.append(_line(row.provider, row.declared, row.revocation_class, kills, p50, p99, *counts))
    return "\n".join(lines)


def _line(name: str, *cells: str) -> str:
    return f"{name:<12}" + "".join(f"{cell:>11}" for cell in cells)


async def _measure_all(servers: Servers, names: Sequence[str], kills: int) -> list[Measured]:
    rows = []
    for name in names:
        kit = servers.kit(name)
        try:
            rows.append(await measure(kit, kills))
        finally:
            await kit.close()
    return rows


def main(arguments: Sequence[str]) -> int:
    """Measure the providers that are named, or all; 1 where a class is not what it is said to be."""
    kills = int(arguments[0]) if arguments else KILLS
    servers = Servers()
    try:
        rows = asyncio.run(_measure_all(servers, arguments[1:] or ALL, kills))
    finally:
        servers.remove()
    print(table(rows))
    return int(any(row.declared is not row.revocation_class for row in rows))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
