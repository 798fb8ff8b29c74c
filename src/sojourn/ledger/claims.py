"""What the facts of a well-formed, signed bundle must show; one function a check.

Each takes the bundle and the checkpoint it was signed with, answers a detail for people, and
raises when the claim does not hold. They are independent: all are run.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final, TypeAlias

from sojourn.ledger.bundle import Bundle
from sojourn.ledger.canonical import canonical
from sojourn.ledger.checkpoint import Checkpoint
from sojourn.ledger.credentials import Kind, derive
from sojourn.ledger.errors import LedgerError, quote
from sojourn.ledger.instants import show_instant
from sojourn.ledger.leaf import record_hash
from sojourn.ledger.merkle import verify_inclusion
from sojourn.ledger.shape import count_of

Claim: TypeAlias = Callable[[Bundle, Checkpoint], str]


def has_ended(bundle: Bundle) -> bool:
    """Whether the last fact is the session's end."""
    return bundle.facts[-1].kind == Kind.ENDED


def _numbering(bundle: Bundle, checkpoint: Checkpoint) -> str:
    for expected, fact in enumerate(bundle.facts, start=1):
        if fact.number != expected:
            raise _refuse(f"expected fact {expected}, got fact {fact.number}")
    return f"facts 1 to {len(bundle.facts)}, none missing or moved"


def _one_session(bundle: Bundle, checkpoint: Checkpoint) -> str:
    for fact in bundle.facts:
        if fact.session != bundle.session:
            raise _refuse(f"fact {fact.number} is of another session")
    return f"every fact is of {bundle.session}"


def _beginning(bundle: Bundle, checkpoint: Checkpoint) -> str:
    if bundle.facts[0].kind != Kind.REQUESTED:
        raise _refuse(f"expected the session's request first, got {quote(bundle.facts[0].kind)}")
    return f"requested at {show_instant(bundle.facts[0].at)}"


def _count(bundle: Bundle, checkpoint: Checkpoint) -> str:
    if any(fact.kind == Kind.ENDED for fact in bundle.facts[:-1]):
        raise _refuse("facts follow the end of the session")
    last = bundle.facts[-1]
    if not has_ended(bundle):
        return f"session still open at {show_instant(last.at)}, so later facts may be missing"
    stated = count_of(last.body, "count")
    if stated != len(bundle.facts):
        raise _refuse(f"the end states {stated} facts, the bundle holds {len(bundle.facts)}")
    return f"the end states {stated} facts, and all are here"


def _journal_order(bundle: Bundle, checkpoint: Checkpoint) -> str:
    for before, after in pairwise(bundle.facts):
        if after.index <= before.index:
            raise _refuse(f"fact {after.number} has index {after.index}, not after {before.index}")
    return "the facts lie in this order in the journal"


def _inclusion(bundle: Bundle, checkpoint: Checkpoint) -> str:
    for fact, proof in zip(bundle.facts, bundle.proofs, strict=True):
        try:
            verify_inclusion(
                record_hash(fact), proof, index=fact.index, size=checkpoint.size, root=checkpoint.root
            )
        except LedgerError as error:
            raise _refuse(f"fact {fact.number}: {error.message}") from error
    return f"each fact is under the checkpoint of {checkpoint.size} facts"


def _times(bundle: Bundle, checkpoint: Checkpoint) -> str:
    for before, after in pairwise(bundle.facts):
        if after.at < before.at:
            raise _refuse(f"fact {after.number} is at {show_instant(after.at)}, before the fact it follows")
    return "no fact is earlier than the one before it"


def _credentials(bundle: Bundle, checkpoint: Checkpoint) -> str:
    derived = derive(bundle.facts)
    # Compared as bytes: in Python 1 == True == 1.0.
    if canonical([credential.to_json() for credential in derived]) != canonical(bundle.credentials):
        raise _refuse("the summary of credentials is not what the facts say")
    return f"the summary of {len(derived)} credentials follows from the facts"


def _outcomes(bundle: Bundle, checkpoint: Checkpoint) -> str:
    if not has_ended(bundle):
        return "not asked of an open session"
    credentials = derive(bundle.facts)
    for credential in credentials:
        if not credential.settled:
            raise _refuse(f"lease {quote(credential.lease)} is neither destroyed nor accounted for")
    destroyed = sum(credential.destroyed_at is not None for credential in credentials)
    return f"{destroyed} of {len(credentials)} credentials observed destroyed, the rest accounted for"


def _destruction_times(bundle: Bundle, checkpoint: Checkpoint) -> str:
    for credential in derive(bundle.facts):
        if credential.destroyed_at is not None and credential.destroyed_at < credential.planned_at:
            raise _refuse(f"lease {quote(credential.lease)} is observed destroyed before it was planned")
    return "no credential is observed destroyed before it was planned"


def _refuse(message: str) -> LedgerError:
    return LedgerError("claim_not_proven", message)


CLAIMS: Final[tuple[tuple[str, Claim], ...]] = (
    ("numbering", _numbering),
    ("one_session", _one_session),
    ("beginning", _beginning),
    ("count", _count),
    ("journal_order", _journal_order),
    ("inclusion", _inclusion),
    ("times", _times),
    ("credentials", _credentials),
    ("outcomes", _outcomes),
    ("destruction_times", _destruction_times),
)
