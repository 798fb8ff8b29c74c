"""A small log with one session in it, for the tests of bundles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sojourn.ledger.bundle import Seal, build
from sojourn.ledger.canonical import JsonObject
from sojourn.ledger.checkpoint import Checkpoint, sign_checkpoint
from sojourn.ledger.leaf import LeafRecord, record_hash
from sojourn.ledger.merkle import Frontier
from sojourn.ledger.note_keys import Ed25519Signer
from sojourn.ledger.tiles import TileTree, grow

ORIGIN = "sojourn.example/log"
SERVER = Ed25519Signer(ORIGIN, b"s" * 32)
STRANGER = Ed25519Signer(ORIGIN, b"x" * 32)
SESSION = "ses_" + "0" * 25 + "4"
OTHER = "ses_" + "0" * 25 + "8"
START = datetime(2026, 11, 23, 22, 53, 25, tzinfo=UTC)


def at(second: int) -> str:
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def planned(lease: str) -> tuple[str, JsonObject]:
    return "lease.planned", {"lease": lease, "target": "orders-db", "handle": f"sj_{lease}", "class": "A"}


def destroyed(lease: str, second: int) -> tuple[str, JsonObject]:
    return "lease.destroyed", {"lease": lease, "method": "drop_role", "observed_at": at(second)}


def stuck(lease: str) -> tuple[str, JsonObject]:
    return "lease.stuck", {"lease": lease, "place": "orders-db", "until": None, "owner": "team-orders"}


def ended(count: int) -> tuple[str, JsonObject]:
    return "session.ended", {"count": count}


USUAL: list[tuple[str, JsonObject]] = [
    ("session.requested", {"task": "nightly:42"}),
    planned("lea_1"),
    ("lease.issued", {"lease": "lea_1"}),
    ("session.ending", {"cause": {"reason": "completed"}}),
    destroyed("lea_1", 9),
    ended(6),
]


@dataclass(frozen=True)
class Log:
    """A journal with other sessions' facts between those of one session."""

    journal: list[LeafRecord]
    facts: list[LeafRecord]

    def proofs(self, facts: Sequence[LeafRecord]) -> list[list[bytes]]:
        tiles: dict[tuple[int, int], list[bytes]] = {}
        for node in grow(Frontier(), [record_hash(record) for record in self.journal]):
            tiles.setdefault((node.level, node.tile), []).append(node.hash)
        tree = TileTree(len(self.journal), lambda level, index: tiles[level, index])
        return [tree.inclusion(fact.index) for fact in facts]

    def checkpoint(self, signer: Ed25519Signer = SERVER, origin: str = ORIGIN) -> bytes:
        frontier = Frontier()
        grow(frontier, [record_hash(record) for record in self.journal])
        return sign_checkpoint(Checkpoint(origin, frontier.size, frontier.root()), [signer])


def log_of(kinds: Iterable[tuple[str, JsonObject]]) -> Log:
    journal: list[LeafRecord] = []
    facts: list[LeafRecord] = []
    for number, (kind, body) in enumerate(kinds, start=1):
        now = START + timedelta(seconds=2 * number)
        journal.append(LeafRecord(len(journal), now, "session.requested", OTHER, number, {}))
        facts.append(LeafRecord(len(journal), now, kind, SESSION, number, body))
        journal.append(facts[-1])
    return Log(journal, facts)


def bundle_of(log: Log, facts: Sequence[LeafRecord] | None = None, signer: Ed25519Signer = SERVER) -> bytes:
    chosen = log.facts if facts is None else facts
    return build(
        chosen,
        log.proofs(chosen),
        log.checkpoint(signer),
        seal=Seal(signer, signer.vkey),
        made_at=START + timedelta(hours=1),
    )
