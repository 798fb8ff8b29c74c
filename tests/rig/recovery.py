"""Let the product recover what a crash left, then read its records back by hand.

The tree is rebuilt from the leaves, not from the stored tiles, and compared with every
checkpoint ever seen of this deployment.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sojourn.core.lease import LeaseState
from sojourn.core.session import Session, State
from sojourn.ledger.checkpoint import open_checkpoint
from sojourn.ledger.merkle import leaf_hash, root
from sojourn.ledger.note_keys import Ed25519Verifier
from sojourn.ledger.verify import verify
from sojourn.ports.store import SessionFilter
from tests.rig.one_life import Place, Plant, planted
from tests.rig.poll import until_async

Told = dict[str, object]
_NO_STEP_S = 20


async def recover(place: Place) -> Told:
    """Start, wait until nothing is left to do, stop; what the records say then."""
    plant = await planted(place)
    plant.deployment.start()
    try:
        await _until_quiet(plant)
        return await _told(plant)
    finally:
        await plant.deployment.stop()


async def _sessions(plant: Plant) -> list[Session]:
    return list(await plant.sql.sessions(SessionFilter(), after=None, limit=100_000))


async def _until_quiet(plant: Plant) -> None:
    """Until nothing is left to do; what is never longer than this without a step is not stuck."""
    while not await _quiet(plant):
        size = (await plant.sql.head()).journal_size
        await until_async(partial(_moved_or_quiet, plant, size), within_s=_NO_STEP_S, every_s=0.05)


async def _moved_or_quiet(plant: Plant, size: int) -> bool:
    return (await plant.sql.head()).journal_size > size or await _quiet(plant)


async def _quiet(plant: Plant) -> bool:
    sealed, head = await plant.sql.checkpoint(), await plant.sql.head()
    moving = SessionFilter(states=frozenset(State) - {State.ENDED})
    if sealed is None or sealed[0] != head.journal_size:
        return False
    return not await plant.sql.sessions(moving, after=None, limit=1)


async def _told(plant: Plant) -> Told:
    sessions = await _sessions(plant)
    leases = [lease for session in sessions for lease in await plant.sql.leases(session.id)]
    return {
        "sessions": {one.id: one.cause.reason if one.cause else None for one in sessions},
        "handles": [lease.handle for lease in leases],
        "refs": [lease.target_ref for lease in leases if lease.target_ref],
        "undestroyed": [lease.id for lease in leases if lease.state is not LeaseState.DESTROYED],
        "differences": await plant.sql.replay_differences(),
        "log": await _log(plant),
        "bundle": await _bundle(plant, sessions),
        "facts": (await plant.sql.head()).journal_size,
        "errors": dict(plant.deployment._worker.errors),
    }


async def _log(plant: Plant) -> list[str]:
    """What is wrong with the log; nothing, if each checkpoint ever seen is a prefix of the leaves."""
    entries = await plant.sql.journal(0, limit=1_000_000)
    sealed = await plant.sql.checkpoint()
    assert sealed is not None
    seen = Path(plant.place.state) / "checkpoints-seen"
    seen.mkdir(exist_ok=True)
    (seen / str(sealed[0])).write_text(sealed[1])
    wrong = [f"fact {i} at place {n}" for n, i in enumerate(e.index for e in entries) if i != n]
    hashes = [leaf_hash(entry.leaf) for entry in entries]
    key = Ed25519Verifier.from_vkey(plant.deployment.ring.notes(plant.place.settings.log_name).vkey)
    for one in seen.iterdir():
        checkpoint = open_checkpoint(one.read_bytes(), [key])
        if checkpoint.size > len(hashes) or checkpoint.root != root(hashes[: checkpoint.size]):
            wrong.append(f"the checkpoint of size {checkpoint.size} is not of these leaves")
    return wrong


async def _bundle(plant: Plant, sessions: list[Session]) -> str:
    if not sessions:
        return "no session"
    bundle = await plant.verbs.write_evidence(sessions[-1].id)
    verdict = verify(bundle.encode(), [plant.deployment.ring.notes(plant.place.settings.log_name).vkey])
    return f"{verdict.result} {'ended' if verdict.ended else 'open'} {verdict.failed or ''}".strip()
