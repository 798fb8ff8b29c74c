"""A batch on its way into the tables: facts numbered, rows as columns, marks and errands.

Building it touches no database. Facts get their number within the session here; their index
in the journal is given last, under the head's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from sojourn.adapters.journal_leaf import Placed, Told, tell
from sojourn.adapters.sql_judge import identity_hash, mark_hash, written
from sojourn.adapters.sql_rows import CHANGING, Columns, columns_of
from sojourn.core.change import Change, Revocation
from sojourn.core.record import Fact, Row, RowKind, Step
from sojourn.core.session import Session, State
from sojourn.core.trigger import identities, mark_of


@dataclass(slots=True)
class Batch:
    """The parameters of every statement, by table."""

    facts: list[Placed] = field(default_factory=list)
    revocations: list[Revocation] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)  # facts and revocations after each Change
    inserts: dict[RowKind, list[Columns]] = field(default_factory=lambda: {kind: [] for kind in RowKind})
    updates: dict[RowKind, list[Columns]] = field(default_factory=lambda: {kind: [] for kind in RowKind})
    between: dict[RowKind, list[Columns]] = field(default_factory=lambda: {kind: [] for kind in RowKind})
    counted: dict[str, int] = field(default_factory=dict)  # facts of each session, after the batch
    ancestors: list[Columns] = field(default_factory=list)
    identities: list[Columns] = field(default_factory=list)
    places: list[Columns] = field(default_factory=list)
    ended: list[Columns] = field(default_factory=list)
    once: list[Columns] = field(default_factory=list)
    spend: list[Columns] = field(default_factory=list)
    errands: list[Columns] = field(default_factory=list)
    done: list[Columns] = field(default_factory=list)
    sealed: list[Columns] = field(default_factory=list)
    beats: list[Columns] = field(default_factory=list)
    unsealed: list[Columns] = field(default_factory=list)  # what is kept no more

    def recount(self) -> list[Columns]:
        """Give rows their count of facts; the rest are sessions of which only that changes."""
        left = dict(self.counted)
        for columns in (*self.inserts[RowKind.SESSION], *self.updates[RowKind.SESSION]):
            columns["facts"] = left.pop(columns["id"])
        return [{"key": session, "new_facts": count} for session, count in sorted(left.items())]


Bodies = list[Told]


def bodies_of(change: Change) -> Bodies:
    """The bodies of the facts of `change`, in order.

    Raises:
        Invalid: code `leaf_too_large`.
    """
    return [tell(fact, step.row) for _, step in written(change) for fact in step.facts]


def build(changes: Iterable[tuple[Change, Bodies]], facts_so_far: Mapping[str, int]) -> Batch:
    """Everything that these Changes write, in their order."""
    batch = Batch(counted=dict(facts_so_far))
    for change, bodies in changes:
        _number(batch, change, bodies)
        following = iter(bodies)
        for kind, step in written(change):
            _row(batch, kind, step, [next(following) for _ in step.facts])
        _marks(batch, change)
        _errands(batch, change)
        batch.revocations.extend(change.revocations)
        batch.counts.append((len(batch.facts), len(batch.revocations)))
    touched = {placed.fact.session for placed in batch.facts}
    batch.counted = {session: count for session, count in batch.counted.items() if session in touched}
    return batch


def _number(batch: Batch, change: Change, bodies: Bodies) -> None:
    facts = (fact for _, step in written(change) for fact in step.facts)
    for fact, told in zip(facts, bodies, strict=True):
        batch.facts.append(Placed(fact, told, _next_number(batch, fact)))


def _next_number(batch: Batch, fact: Fact) -> int:
    if fact.session is None:
        return 0
    number = batch.counted.get(fact.session, 0) + 1
    batch.counted[fact.session] = number
    return number


def _row(batch: Batch, kind: RowKind, step: Step[Row], bodies: Bodies) -> None:
    columns = columns_of(kind, step.row, _born_whole(bodies) if step.read_version == 0 else None)
    if step.read_version == 0:
        batch.inserts[kind].append(columns)
    else:
        batch.updates[kind].append({name: columns[name] for name in CHANGING[kind] if name != "facts"})
        batch.updates[kind][-1]["id"] = step.row.id
        batch.between[kind].extend(_between(kind, step, columns))
    if kind is RowKind.SESSION:
        _session(batch, cast("Session", step.row), born=step.read_version == 0)
        _place(batch, cast("Session", step.row), step)


def _born_whole(bodies: Bodies) -> Columns:
    """A new row in plain form: what its facts said, the later over the earlier, as in `replay`."""
    members: Columns = {}
    for body in bodies:
        members.update(cast("Columns", body.members["changes"]))
    return members


def _between(kind: RowKind, step: Step[Row], columns: Columns) -> list[Columns]:
    """The states passed through on the way: the trigger sees each move, as the table lists it."""
    states = [str(fact.changes["state"]) for fact in step.facts if "state" in fact.changes]
    reason = {"new_reason": columns["reason"]} if kind is RowKind.SESSION else {}
    return [{"key": step.row.id, "new_state": state, **reason} for state in states[:-1]]


def _session(batch: Batch, session: Session, *, born: bool) -> None:
    if born:
        batch.ancestors.extend({"descendant": session.id, "ancestor": elder} for elder in session.ancestors)
        batch.identities.extend(
            {"facts_hash": identity_hash(mark_of(facts)), "session": session.id}
            for facts in identities(session.context)
        )
    if session.state is State.ENDED:
        batch.ended.append({"key": session.id})


def _place(batch: Batch, session: Session, step: Step[Row]) -> None:
    if any(fact.changes.get("status_list") is not None for fact in step.facts):
        place = {"list": session.status_list, "index": session.status_index, "session": session.id}
        batch.places.append(place)


def _marks(batch: Batch, change: Change) -> None:
    batch.once.extend(
        {"key_hash": mark_hash(once), "kind": once.kind, "value": once.value, "expires_at": once.expires_at}
        for once in change.once
    )
    batch.beats.extend(
        {"session": beat.session, "last": beat.last, "missed_at": beat.missed_at} for beat in change.beats
    )
    batch.spend.extend({"hash": mark_hash(spend)} for spend in change.spend)
    for sealed in change.sealed:
        if sealed.ciphertext is None:
            batch.unsealed.append({"key": sealed.name})
        else:
            batch.sealed.append({"name": sealed.name, "ciphertext": sealed.ciphertext})


def _errands(batch: Batch, change: Change) -> None:
    batch.done.extend({"key": errand} for errand in change.done)
    batch.errands.extend(
        {
            "id": errand.id,
            "kind": errand.kind.value,
            "lease": errand.lease,
            "session": errand.session,
            "target": errand.target,
            "run_at": errand.run_at,
            "attempts": errand.attempts,
        }
        for errand in change.errands
    )
