"""Facts in the order of the journal, and the rows they rebuild.

The first fact of a row holds it whole; each later one holds the members it changed. A journal
that skips a version is no journal of ours, and is refused rather than repaired.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from sojourn.core.approval import Approval
from sojourn.core.charter import Charter
from sojourn.core.client import Client
from sojourn.core.errors import Invalid
from sojourn.core.hook import Hook
from sojourn.core.kill import Kill
from sojourn.core.lease import Lease
from sojourn.core.policy import PolicySet
from sojourn.core.record import Fact, Row, RowKind, apply
from sojourn.core.review import Review
from sojourn.core.session import Session
from sojourn.core.signing_key import SigningKey
from sojourn.core.target import Target
from sojourn.core.trigger import Trigger

ROW_TYPES: Final[Mapping[RowKind, type]] = {
    RowKind.SESSION: Session,
    RowKind.LEASE: Lease,
    RowKind.CLIENT: Client,
    RowKind.CHARTER: Charter,
    RowKind.TARGET: Target,
    RowKind.KILL: Kill,
    RowKind.APPROVAL: Approval,
    RowKind.TRIGGER: Trigger,
    RowKind.POLICY: PolicySet,
    RowKind.REVIEW: Review,
    RowKind.KEY: SigningKey,
    RowKind.HOOK: Hook,
}

Rows = dict[tuple[RowKind, str], Row]


def replay(facts: Iterable[Fact]) -> Rows:
    """Every row as the facts, in this order, leave it.

    Raises:
        Invalid: code `bad_journal`, naming the row whose facts do not follow on each other.
    """
    rows: Rows = {}
    for fact in facts:
        key = (fact.row, fact.id)
        rows[key] = _after(rows.get(key), fact)
    return rows


def _after(row: Row | None, fact: Fact) -> Row:
    expected = 1 if row is None else row.version + 1
    if fact.changes.get("version") != expected:
        raise Invalid("bad_journal", f"expected version {expected} of `{fact.id}` at `{fact.kind}`")
    return _birth(fact) if row is None else apply(row, fact.changes)


def _birth(fact: Fact) -> Row:
    members: Any = fact.changes
    try:
        return cast("Row", ROW_TYPES[fact.row](**members))
    except TypeError as error:
        raise Invalid("bad_journal", f"the first fact of `{fact.id}` does not hold it whole") from error
