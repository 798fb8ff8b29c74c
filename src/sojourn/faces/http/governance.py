"""What the face asks of the services that govern many sessions, as shapes, and their bundle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sojourn.core.approval import Approval
from sojourn.core.change import Once
from sojourn.core.charter import Charter
from sojourn.core.client import Client
from sojourn.core.hook import Hook, Said
from sojourn.core.ids import ApprovalId, SessionId
from sojourn.core.kill import Kill, Selector, Selects
from sojourn.core.lease import Counted
from sojourn.core.secret import Secret
from sojourn.core.session import Session, State
from sojourn.core.trigger import Trigger
from sojourn.core.usage import Amounts, Usage
from sojourn.faces.http.doors import Activation, Token
from sojourn.ports.attestor import Evidence
from sojourn.ports.trigger import Delivery


class Count(Protocol):
    """How many sessions a selector picks, by state."""

    @property
    def selector(self) -> Selector: ...
    @property
    def sessions(self) -> Mapping[State, int]: ...


class OrderKill(Protocol):
    async def count(self, kind: Selects, name: str, /) -> Count: ...

    async def __call__(
        self, kind: Selects, name: str, /, *, by: str, detail: str, confirm: str | None
    ) -> Kill: ...


class Offboarding(Protocol):
    """What an owner leaves behind."""

    @property
    def owner(self) -> str: ...
    @property
    def clients(self) -> Sequence[Client]: ...
    @property
    def charters(self) -> Sequence[str]: ...
    @property
    def counts(self) -> Sequence[Count]: ...
    @property
    def kills(self) -> Sequence[Kill]: ...


class OffboardOwner(Protocol):
    async def look(self, owner: str, /) -> Offboarding: ...

    async def __call__(self, owner: str, /, *, by: Client, detail: str) -> Offboarding: ...


class LowerGrants(Protocol):
    async def __call__(self, session: SessionId, templates: Mapping[str, str], /) -> Session: ...


class EnterPhase(Protocol):
    async def __call__(self, session: SessionId, name: str, /) -> Session: ...


class Approve(Protocol):
    """Answers of people, and taking them back."""

    async def __call__(
        self, approval: ApprovalId, by: Client, /, *, yes: bool, shown_hash: str, detail: str
    ) -> Approval: ...

    async def withdraw(self, approval: ApprovalId, by: Client, /) -> Approval: ...

    async def ask_for_template(self, charter: str, by: Client, /) -> Approval: ...


class ActivateApproved(Protocol):
    async def __call__(
        self, session: SessionId, evidence: Evidence, key: str, once: tuple[Once, ...], /
    ) -> Activation: ...


class Reserved(Protocol):
    """A part of a budget in the hands of a guard."""

    @property
    def chunk(self) -> str | None: ...
    @property
    def given(self) -> Amounts: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def limited(self) -> bool: ...


class Weighed(Protocol):
    """Granted against used."""

    @property
    def charter(self) -> Charter: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def unused(self) -> tuple[str, ...]: ...
    @property
    def counted(self) -> Mapping[str, Counted]: ...


class WeighUsage(Protocol):
    """Accounts of use."""

    async def reserve(self, session: SessionId, guard: Client, wanted: Amounts, /) -> Reserved: ...

    async def report(
        self,
        session: SessionId,
        guard: Client,
        used: Amounts,
        /,
        *,
        chunk: str | None,
        actions: Mapping[str, int],
        failed: int,
    ) -> bool: ...

    async def weigh(self, session: Session, /) -> Weighed: ...


class RouteSignals(Protocol):
    async def deliver(self, name: str, delivery: Delivery, /) -> int: ...


class AddTrigger(Protocol):
    """Adding triggers, and removing them."""

    async def __call__(
        self, name: str, kind: str, /, *, settings: Mapping[str, str], secret: Secret | None, by: str
    ) -> tuple[Trigger, Secret]: ...

    async def remove(self, name: str, /) -> Trigger: ...


class AddHook(Protocol):
    """Adding hooks and removing them, and who speaks through them."""

    async def __call__(
        self, name: str, url: str, /, *, events: Sequence[str], answers: bool, by: str
    ) -> tuple[Hook, Secret]: ...

    async def remove(self, name: str, /) -> Hook: ...

    async def link(self, name: str, person: str, by: Client, /) -> Hook: ...

    async def unlink(self, name: str, person: str, /) -> Hook: ...


class AnswerByHook(Protocol):
    async def __call__(
        self,
        name: str,
        delivery: Delivery,
        said: Said,
        may: Callable[[Client, ApprovalId], Awaitable[None]],
        /,
    ) -> Approval: ...


class StepUp(Protocol):
    """Single actions that people approve once."""

    async def ask(self, session: SessionId, audience: str, action: str, detail: str, /) -> Approval: ...

    async def use(self, session: SessionId, approval: ApprovalId, /) -> Token: ...


@dataclass(frozen=True, slots=True)
class Governance:
    """The verbs, made in `wiring`."""

    order_kill: OrderKill
    offboard: OffboardOwner
    lower: LowerGrants
    enter_phase: EnterPhase
    approve: Approve
    activate: ActivateApproved
    usage: WeighUsage
    signals: RouteSignals
    triggers: AddTrigger
    step_up: StepUp
    hooks: AddHook
    answer_by_hook: AnswerByHook
