"""`POST /v1/usage` for guards, and a session's granted against used."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Annotated

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from sojourn.core.client import Client, Role
from sojourn.core.errors import NotFound
from sojourn.core.ids import SESSION, SessionId, to_uuid
from sojourn.core.usage import METRICS, Amounts
from sojourn.core.window import show
from sojourn.faces.http import views
from sojourn.faces.http.answers import Answer, CountedView
from sojourn.faces.http.callers import Viewer, with_role
from sojourn.faces.http.charter_views import charter as charter_view
from sojourn.faces.http.desk import Desk, desk_of
from sojourn.faces.http.governance import Weighed
from sojourn.faces.http.schemas import Action, Counter, Line, Wire


class AmountsBody(Wire):
    """Uses by metric."""

    calls: Counter = 0
    rows: Counter = 0
    bytes: Counter = 0
    cost: Counter = 0

    def amounts(self) -> Amounts:
        """As the core has them."""
        return Amounts(self.calls, self.rows, self.bytes, self.cost)


class ReportBody(Wire):
    """What was used, of a chunk or, where nothing is limited, without one."""

    session: Line
    chunk: Line | None = None
    used: AmountsBody
    actions: Annotated[dict[Action, Counter], Field(max_length=256, default_factory=dict)]
    failed: Counter = 0  # calls that the guarded API answered with an error


class ReserveBody(Wire):
    """A part of a session's budget that is wanted."""

    session: Line
    want: AmountsBody


class UsageBody(Wire):
    """Reports first, then what is wanted."""

    reports: Annotated[list[ReportBody], Field(max_length=256, default_factory=list)]
    reserve: ReserveBody | None = None


class AmountsView(Answer):
    calls: int
    rows: int
    bytes: int
    cost: int


class ReservedView(Answer):
    """A chunk; `limited` false: nothing need be reserved for this session."""

    chunk: str | None
    given: AmountsView
    expires_at: str | None
    limited: bool


class UsageView(Answer):
    """`taken` by report: false for a chunk that came too late, which stays spent."""

    taken: list[bool]
    reserved: ReservedView | None


class WeighedView(Answer):
    """What a session was granted, what of it was used, and a charter with only that."""

    session: str
    budget: dict[str, int | None]
    spent: AmountsView
    used: dict[str, int]
    counted: dict[str, CountedView]
    unused: list[str]
    used_at: str | None
    failed: int
    proposal: str


async def report_usage(request: Request, body: UsageBody) -> Response:
    """Take reports of use, and reserve a part of a budget."""
    guard, _ = await with_role(request, Role.GUARD)
    desk = desk_of(request)
    taken = [await _report(desk, guard, one) for one in body.reports]
    reserved: views.Json | None = None
    if body.reserve is not None:
        found = await desk.verbs.governance.usage.reserve(
            _id(body.reserve.session), guard, body.reserve.want.amounts()
        )
        until = found.expires_at
        reserved = {
            "chunk": found.chunk,
            "given": dict(found.given.each()),
            "expires_at": None if until is None else show(until),
            "limited": found.limited,
        }
    return views.reply({"taken": taken, "reserved": reserved})


async def _report(desk: Desk, guard: Client, one: ReportBody) -> bool:
    verb = desk.verbs.governance.usage.report
    try:
        used, actions = one.used.amounts(), dict(one.actions)
        return await verb(_id(one.session), guard, used, chunk=one.chunk, actions=actions, failed=one.failed)
    except NotFound:  # others in the same body still count
        return False


def _id(session: str) -> SessionId:
    to_uuid(SESSION, session)
    return SessionId(session)


async def show_usage(request: Request, viewed: Viewer) -> Response:
    """Show granted against used, and propose a narrower charter as a diff."""
    weighed = await desk_of(request).verbs.governance.usage.weigh(viewed.session)
    usage, budget = weighed.usage, weighed.charter.budget
    return views.reply(
        {
            "session": viewed.session.id,
            "budget": {metric: getattr(budget, metric) for metric in METRICS},
            "spent": dict(usage.spent.each()),
            "used": dict(usage.actions),
            "counted": {name: views.counted(one) for name, one in sorted(weighed.counted.items())},
            "unused": list(weighed.unused),
            "used_at": None if usage.used_at is None else show(usage.used_at),
            "failed": usage.failed,
            "proposal": _proposal(weighed),
        }
    )


def _proposal(weighed: Weighed) -> str:
    """A unified diff of the charter's grants, without what was never used."""
    name = weighed.charter.label
    before = charter_view(weighed.charter)["grants"]
    assert isinstance(before, dict)
    after = {name: _lesser(name, members, weighed.unused) for name, members in before.items()}
    kept = {grant: members for grant, members in after.items() if members is not None}
    old, new = (json.dumps({"grants": one}, indent=2, sort_keys=True).splitlines() for one in (before, kept))
    heads = (f"{name} as granted", f"{name} as used")
    return "\n".join(difflib.unified_diff(old, new, heads[0], heads[1], lineterm=""))


def _lesser(name: str, members: Mapping[str, object], unused: tuple[str, ...]) -> Mapping[str, object] | None:
    actions = members.get("actions")
    if not isinstance(actions, list):
        return None if name in unused else members
    left = [action for action in actions if f"{members['audience']} {action}" not in unused]
    return {**members, "actions": left} if left else None
