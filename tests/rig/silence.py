"""The feed of several guards falls silent at once, and is healed: who lets in whom, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.rig.calls import Answered, Holder, Lines
from tests.rig.flood import PROBE_EVERY_S, until_all_accept
from tests.rig.halt import halt, release
from tests.rig.program import Program
from tests.rig.system import System

_WITHIN_S: Final = 6.0  # far longer than service may need to be back; longer still is a failure


@dataclass(slots=True)
class Silence:
    """What one guard did; seconds run from the cut, or from the healing."""

    last_accept_s: float = float("-inf")
    codes: set[str] = field(default_factory=set)  # of refusals while the feed was cut
    back_after_s: float = float("inf")
    dead_accepted_after_heal: int = 0


async def fall_silent(
    system: System, ports: Sequence[int], wire: Program, pair: tuple[Holder, Holder], *, for_s: float
) -> list[Silence]:
    """Cut the wire, kill the second of `pair` meanwhile, and heal; both call all the time."""
    living, dead = pair
    await until_all_accept(ports, living)
    cut_at = time.time()
    halt(wire.pid)
    watching = [asyncio.create_task(_watch(port, pair, cut_at, for_s)) for port in ports]
    await asyncio.to_thread(system.end, dead.session)
    seen = await asyncio.gather(*watching)
    healed_at = time.time()
    release(wire.pid)
    await asyncio.gather(*(_heal(s, p, pair, healed_at) for s, p in zip(seen, ports, strict=True)))
    return seen


async def _watch(port: int, pair: tuple[Holder, Holder], cut_at: float, for_s: float) -> Silence:
    lines, seen = Lines(), Silence()
    while time.time() < cut_at + for_s:
        for answered in await _ask_both(lines, port, pair):
            if answered.accepted:
                seen.last_accept_s = max(seen.last_accept_s, answered.sent_at - cut_at)
            else:
                seen.codes.add(answered.code)
        await asyncio.sleep(PROBE_EVERY_S)
    await lines.close()
    return seen


async def _heal(seen: Silence, port: int, pair: tuple[Holder, Holder], healed_at: float) -> None:
    lines = Lines()
    while time.time() < healed_at + _WITHIN_S and seen.back_after_s == float("inf"):
        living, dead = await _ask_both(lines, port, pair)
        seen.dead_accepted_after_heal += dead.accepted
        if living.accepted:
            seen.back_after_s = living.heard_at - healed_at
        await asyncio.sleep(PROBE_EVERY_S)
    await lines.close()


async def _ask_both(lines: Lines, port: int, pair: tuple[Holder, Holder]) -> tuple[Answered, Answered]:
    living, dead = pair
    return await lines.get(port, living), await lines.get(port, dead)
