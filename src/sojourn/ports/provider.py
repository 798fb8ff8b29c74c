"""Issue, freeze, destroy and observe one kind of downstream credential.

The contract every provider keeps is in `Provider`; `testing/provider_conformance.py` holds
each of them to it, against the real server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from sojourn.core.lease import Counted
from sojourn.core.secret import Secret
from sojourn.core.standing import Standing
from sojourn.core.target import Target


class RevocationClass(StrEnum):
    """What taking away means at a target, declared by its provider and measured in tests."""

    A = "A"  # refused, live work stopped, verified
    B = "B"  # refused, live work cut by us
    C = "C"  # only new use is stopped
    D = "D"  # only expiry ends it


class Presence(StrEnum):
    """What is left of a credential, as the target itself says."""

    ABSENT = "absent"
    UNKNOWN = "unknown"  # the target cannot be asked about it; until when it matters is in `lasting`
    LINGERING = "lingering"  # it cannot be used anew, but live work goes on
    QUARANTINED = "quarantined"  # unusable and cut off, but not removable (it owns objects)
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Intent:
    """One credential to be made, exactly as it was recorded before."""

    handle: str  # the name it will have in the target; unique for ever
    template: Mapping[str, object]  # the target's grant template, already parsed and checked
    issue_by: datetime  # our clock; the provider restates it in the target's own
    expires_at: datetime  # the latest end of the session; the credential is born with it


@dataclass(frozen=True, slots=True)
class Ref:
    """A credential that may exist, with what is on record of it.

    `target_id` is the target's immutable id, once known. `lands_by` is set while a send of it
    is unanswered: it may land until then. Without either, nothing was ever made.
    """

    handle: str
    target_id: str | None
    expires_at: datetime | None = None  # the latest end it was asked for
    lands_by: datetime | None = None
    kept: Secret | None = None  # what its `Issued.keep` was


@dataclass(frozen=True, slots=True)
class Issued:
    """The answer to `issue`: shown to the workload once and never stored, but for `target_id`.

    `keep` is sealed until the credential is gone and comes back in every `Ref` to it. Only for
    a target that lets nothing but the credential itself be used to end it or to prove it dead.
    """

    target_id: str
    connection: Mapping[str, str]  # what a client needs besides the secret: host, port, user …
    secret: Secret
    keep: Secret | None = None


@dataclass(frozen=True, slots=True)
class Lasting:
    """Where a credential may be honoured whatever we do, and the instant at which that is over.

    `until` stays the same from one look to the next, or every look would be news.
    """

    place: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Observation:
    """What the target answered, and how it was asked."""

    presence: Presence
    method: str  # e.g. `pg_authid and pg_stat_activity by OID, 3 clean reads`
    detail: Mapping[str, str | int] = field(default_factory=dict)
    lasting: Lasting | None = None  # never without it: a class C or D credential not yet absent


@dataclass(frozen=True, slots=True)
class Found:
    """A credential in the target that carries our prefix."""

    handle: str
    target_id: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a preflight: what was tried, whether it held, what to do if not."""

    name: str
    ok: bool
    took_ms: float
    detail: str
    mend: str = ""


class Provider(Protocol):
    """Creates and destroys one kind of credential in one target system.

    A handle is chosen by us and recorded before `issue` is called, so a crash at any
    point leaves no credential without a lease. Every method may be cancelled and called
    again; each has its own deadline inside. All raise `TargetError` and nothing else,
    with `sent` true unless the request certainly never left, or was answered as refused.
    """

    @property
    def revocation_class(self) -> RevocationClass:
        """What taking away means here."""
        ...

    def check_template(self, template: Mapping[str, object]) -> None:
        """Refuse a grant template that is malformed or asks for more than may be given.

        Raises:
            Invalid: code `bad_template`, naming the member and what was expected.
        """
        ...

    async def issue(self, intent: Intent) -> Issued:
        """Create the credential under `intent.handle`, before `intent.issue_by` or never.

        Sent at most once per handle: the provider retries nothing. The deadline is checked
        by the target's own clock, so that a request held back on the way cannot land late.
        """
        ...

    async def locate(self, handle: str) -> str | None:
        """The target's immutable id of the credential named `handle`, or None if there is none."""
        ...

    async def freeze(self, ref: Ref) -> None:
        """Refuse new logins and cut every live connection; `thaw` undoes it. Idempotent."""
        ...

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Make a frozen credential usable again, with a new secret; the old one stays dead.

        Sent once, and refused by the target after `intent.issue_by`, like an issue. It is
        reached as before: the connection it answers with is the one that `issue` answered.
        """
        ...

    async def destroy(self, ref: Ref) -> None:
        """Make the credential unusable, then cut every connection that uses it, then remove it.

        Idempotent: destroying what does not exist succeeds. Returning proves nothing; only
        `observe` does.
        """
        ...

    async def observe(self, ref: Ref) -> Observation:
        """Ask the target itself, never a cache, what is left of the credential.

        Where the target cannot be asked, or honours for a while what it says is gone, the
        answer is `UNKNOWN` or `LINGERING` with `lasting`; the lease ends when that is over.
        `PRESENT` means that it was seen to work, and no instant makes up for that.
        """
        ...

    async def inventory(self, prefix: str) -> Sequence[Found] | None:
        """Every credential in the target whose handle begins with `prefix`; None if it keeps no list."""
        ...

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """Make a canary under `prefix`, use it, cut it, prove it dead; say what is missing."""
        ...

    async def close(self) -> None:
        """Give back what the provider holds open."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A session's request to an API whose key stays with us; `path` as sent, `query` without `?`."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Incoming:
    """The API's answer, piece by piece."""

    status: int
    headers: Sequence[tuple[str, str]]
    pieces: AsyncIterator[bytes]


@runtime_checkable
class Forwards(Protocol):
    """A provider that does not hand its credential out: it makes the requests itself."""

    def forward(
        self, handle: str, template: Mapping[str, object], request: Outgoing
    ) -> AbstractAsyncContextManager[Incoming]:
        """Send `request` with the key added, for as long as `handle` is neither frozen nor destroyed.

        Raises:
            Refused: codes `not_allowed_there`, `ambiguous_path`, `session_ended`.
            TargetError: the API did not answer, or sent the key back (`secret_echoed`).
        """
        ...


@runtime_checkable
class FindsStanding(Protocol):
    """A provider that can also list the accounts of its target that nobody's session made."""

    async def standing(self, prefix: str) -> Sequence[Standing]:
        """Every account that can log in and whose name does not begin with `prefix`.

        Raises:
            TargetError: the target could not be asked.
        """
        ...


@runtime_checkable
class CountsUse(Protocol):
    """What a provider also has if its target can count what each credential is used for."""

    async def count_use(self, ref: Ref, since: datetime) -> Counted | None:
        """What is known of the use of a credential that was planned at `since`, asked when it is gone.

        At least so much was done; nothing only where nothing can have been missed since then. None:
        unknown.

        Raises:
            TargetError: the target could not be asked.
        """
        ...


@runtime_checkable
class Narrowing(Protocol):
    """What a provider also has if single rights of a credential can be taken away in place."""

    def check_narrower(self, before: Mapping[str, object], after: Mapping[str, object]) -> None:
        """Refuse a template that would add anything to another, of the same target.

        Raises:
            Invalid: code `not_narrower`, saying what would be added.
        """
        ...

    async def narrow(self, ref: Ref, after: Mapping[str, object]) -> str:
        """Take away whatever `after` does not say, on live connections too; how it was proven.

        A connection keeps what is left, or is cut; nothing begun under the lost rights goes
        on. Idempotent: a credential that is not there has no rights.
        """
        ...


class Providers(Protocol):
    """The provider that serves a target, with its admin credential in hand."""

    async def of(self, target: Target) -> Provider:
        """The provider of `target`, kept for the next call.

        Raises:
            TargetError: code `unknown_provider` or `no_admin_secret`, with `sent` false.
        """
        ...
