"""Scripted verbs of governance: they count three sessions and remember what they were told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from sojourn.core.approval import Approval
from sojourn.core.change import Once
from sojourn.core.client import Client
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Invalid, NotFound, Refused
from sojourn.core.hook import Hook, HookPlace, Said
from sojourn.core.ids import KILL, ApprovalId, HookId, KillId, SessionId
from sojourn.core.kill import Kill, KillState, Selector, Selects
from sojourn.core.secret import Secret
from sojourn.core.session import Session, State, lower
from sojourn.core.trigger import Trigger
from sojourn.core.usage import Amounts, Usage
from sojourn.faces.http.doors import Activation, Token
from sojourn.faces.http.governance import Governance
from sojourn.ports.attestor import Evidence
from sojourn.ports.store import KillFilter
from sojourn.ports.trigger import Delivery
from sojourn.services.offboard_owner import Offboarding
from sojourn.services.order_kill import Count
from sojourn.services.weigh_usage import Reserved, Weighed
from tests.faces.samples import START, a_charter, new_id


class Rows(Protocol):
    """Where the scripted store keeps sessions."""

    rows: dict[str, Session]


class NoOrders:
    """A store in which nothing was ever ordered, and no session has a place in a status list."""

    async def statuses(self, name: str) -> None:
        return None

    async def status_lists(self) -> Sequence[str]:
        return []

    async def kills(self, which: KillFilter) -> Sequence[Kill]:
        return []

    async def triggers(self) -> Sequence[Trigger]:
        return []

    async def hooks(self) -> Sequence[Hook]:
        return []

    async def hook_place(self, hook: HookId) -> HookPlace | None:
        return None

    async def approvals(self, subject: str | None = None) -> Sequence[Approval]:
        return []

    async def approval(self, approval: ApprovalId) -> Approval | None:
        return None

    async def kill(self, kill: KillId) -> Kill | None:
        return None


@dataclass
class Orders:
    """Orders to end sessions."""

    given: list[tuple[Selects, str, str, str | None]] = field(default_factory=list)

    async def count(self, kind: Selects, name: str) -> Count:
        return Count(Selector(kind, name), {State.ACTIVE: 2, State.SUSPENDED: 1})

    async def __call__(self, kind: Selects, name: str, *, by: str, detail: str, confirm: str | None) -> Kill:
        self.given.append((kind, name, by, confirm))
        cause = Cause(Reason.KILLED, by, detail)
        return Kill(KillId(new_id(KILL)), 2, KillState.ORDERED, Selector(kind, name), cause, START, n=8)


@dataclass
class Offboards:
    """Owners that leave."""

    orders: Orders

    async def look(self, owner: str) -> Offboarding:
        return Offboarding(owner, (), ("demo@1",), (await self.orders.count(Selects.OWNER, owner),))

    async def __call__(self, owner: str, *, by: Client, detail: str) -> Offboarding:
        seen = await self.look(owner)
        kill = await self.orders(Selects.OWNER, owner, by=by.name, detail=detail, confirm=None)
        return Offboarding(owner, (), seen.charters, seen.counts, (kill,))


@dataclass
class Shrink:
    """Lowers and moves on, by saying so."""

    store: Rows

    async def lower(self, session: SessionId, templates: Mapping[str, str]) -> Session:
        return lower(self.store.rows[session], templates, START).row

    async def enter(self, session: SessionId, name: str) -> Session:
        return replace(self.store.rows[session], phase=name)


@dataclass
class Answers:
    """Takes every answer, and gives nothing."""

    async def __call__(
        self, approval: ApprovalId, by: Client, *, yes: bool, shown_hash: str, detail: str
    ) -> Approval:
        raise NotFound("unknown_task", "no such request")

    async def withdraw(self, approval: ApprovalId, by: Client) -> Approval:
        raise NotFound("unknown_task", "no such request")

    async def ask_for_template(self, charter: str, by: Client) -> Approval:
        raise NotFound("unknown_charter", "no such charter")

    async def activate(
        self, session: SessionId, evidence: Evidence, key: str, once: tuple[Once, ...]
    ) -> Activation:
        raise Refused("not_approved_yet", "nobody has said yes yet")


class Weighs:
    """Accounts in which nothing was ever used."""

    async def reserve(self, session: SessionId, guard: Client, wanted: Amounts) -> Reserved:
        return Reserved("chunk", wanted, START, limited=True)

    async def report(
        self,
        session: SessionId,
        guard: Client,
        used: Amounts,
        *,
        chunk: str | None,
        actions: Mapping[str, int],
        failed: int,
    ) -> bool:
        return chunk is not None

    async def weigh(self, session: Session) -> Weighed:
        return Weighed(session, a_charter("demo"), Usage(), ("https://api.example orders:read",), {})


class Outside:
    """No trigger is known, and none can be added."""

    async def deliver(self, name: str, delivery: Delivery) -> int:
        raise NotFound("unknown_trigger", "there is no such trigger")

    async def __call__(
        self, name: str, kind: str, *, settings: Mapping[str, str], secret: Secret | None, by: str
    ) -> tuple[Trigger, Secret]:
        raise Invalid("unknown_kind", "no trigger of this kind")

    async def remove(self, name: str) -> Trigger:
        raise NotFound("unknown_trigger", "there is no such trigger")


class NoHooks:
    """No hook is known, and none can be added."""

    async def __call__(
        self, name: str, url: str, *, events: Sequence[str], answers: bool, by: str
    ) -> tuple[Hook, Secret]:
        raise Invalid("bad_url", "no address will do")

    async def remove(self, name: str) -> Hook:
        raise NotFound("unknown_hook", "there is no such hook")

    async def link(self, name: str, person: str, by: Client) -> Hook:
        raise NotFound("unknown_hook", "there is no such hook")

    async def unlink(self, name: str, person: str) -> Hook:
        raise NotFound("unknown_hook", "there is no such hook")

    async def answer(
        self,
        name: str,
        delivery: Delivery,
        said: Said,
        may: Callable[[Client, ApprovalId], Awaitable[None]],
    ) -> Approval:
        raise NotFound("unknown_hook", "there is no such hook")


class NoSteps:
    """No action can be asked for."""

    async def ask(self, session: SessionId, audience: str, action: str, detail: str) -> Approval:
        raise Invalid("needs_no_approval", "nobody can be asked")

    async def use(self, session: SessionId, approval: ApprovalId) -> Token:
        raise NotFound("unknown_task", "no such request")


def governance_of(store: Rows) -> Governance:
    """Every scripted verb."""
    orders, shrink = Orders(), Shrink(store)
    answers, hooks = Answers(), NoHooks()
    return Governance(
        order_kill=orders,
        offboard=Offboards(orders),
        lower=shrink.lower,
        enter_phase=shrink.enter,
        approve=answers,
        activate=answers.activate,
        usage=Weighs(),
        signals=Outside(),
        triggers=Outside(),
        step_up=NoSteps(),
        hooks=hooks,
        answer_by_hook=hooks.answer,
    )
