"""Exit codes, stable from the first release; `docs/reference/cli.md` lists the same table."""

from __future__ import annotations

from enum import IntEnum

from sojourn.core.errors import (
    Conflict,
    Invalid,
    NotFound,
    Refused,
    SojournError,
    TargetError,
    Unauthenticated,
    Unavailable,
)


class Exit(IntEnum):
    """What a command says by its exit code."""

    OK = 0
    ERROR = 1
    USAGE = 2
    SIGNER_UNKNOWN = 3  # verify: consistent, but signed by a key nobody pinned
    VERIFY_FAILED = 4
    CHECK_FAILED = 5  # preflight, doctor, reconcile: something is not as it should be
    STILL_OPEN = 6  # verify: genuine, but the session had not ended when the bundle was written
    REFUSED = 10
    UNREACHABLE = 11
    NOT_FOUND = 12
    CONFLICT = 13
    TARGET = 14
    SESSION_ENDED = 124  # run: the session ended under the command
    NOT_STARTED = 125  # run: the command was never started
    INTERRUPTED = 130


def exit_of(error: SojournError) -> Exit:
    """The exit code for an error."""
    match error:
        case Refused() | Unauthenticated():
            return Exit.REFUSED
        case Unavailable():
            return Exit.UNREACHABLE
        case NotFound():
            return Exit.NOT_FOUND
        case Conflict():
            return Exit.CONFLICT
        case TargetError():
            return Exit.TARGET
        case Invalid():
            return Exit.USAGE if error.code.startswith("usage") else Exit.ERROR
        case _:
            return Exit.ERROR
