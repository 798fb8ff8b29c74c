"""What a verifier says: numbered checks, one result, and remarks for the reader."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """The whole answer; only `VERIFIED` rests on a key the caller trusts."""

    VERIFIED = "verified"
    SELF_CONSISTENT = "self_consistent_signer_unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One numbered check; `name` is stable, `detail` is for people."""

    number: int
    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result, every check that was reached, and what a reader should also know.

    `failed` names the first check that failed. `ended` is true when the bundle proves, as far
    as its result goes, that the session ended; an open session's bundle can be verified too.
    """

    result: Result
    failed: str | None
    checks: tuple[Check, ...]
    remarks: tuple[str, ...]
    session: str | None
    ended: bool

    def lines(self) -> list[str]:
        """The verdict to print: a line a check, the remarks, and the result last."""
        checks = [f"{check.number:>2} {_mark(check)} {check.name}: {check.detail}" for check in self.checks]
        result = self.result.value if self.failed is None else f"{self.result.value}: {self.failed}"
        return [_printable(line) for line in (*checks, *self.remarks, result)]


def _mark(check: Check) -> str:
    return "ok    " if check.ok else "FAILED"


def _printable(line: str) -> str:
    """The line without anything that could drive a terminal: a bundle may be hostile."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
