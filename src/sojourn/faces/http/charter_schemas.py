"""A charter as it is sent and shown; the published JSON Schema is made from it.

`services/_charter_document.py` reads the document and has the last word; a test holds this
schema to it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from sojourn.faces.http.schemas import Action, Audience, Duration, Line, Name, Wire

Kind = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Amount = Annotated[int, Field(ge=1, le=2**53 - 1)]
Class = Literal["A", "B", "C", "D"]
Fate = Literal["end", "suspend"]


class TargetGrantBody(Wire):
    """A credential in a target, made from one of its templates."""

    target: Name
    template: Name
    at_least: Class = Field("D", description="the weakest revocation class that the target may have")


class AudienceGrantBody(Wire):
    """Actions at one guarded API."""

    audience: Audience
    actions: Annotated[list[Action], Field(min_length=1, max_length=256)]


class OpenerBody(Wire):
    """A client that may open if attested facts are exactly these."""

    client: Name
    selectors: Annotated[dict[Name, Line], Field(min_length=1, max_length=64)]


class PhaseBody(Wire):
    """A part of the work, with what is left in it."""

    name: Name
    grants: Annotated[list[Name], Field(default_factory=list, max_length=64)]


class DurationBody(Wire):
    """How long a session lasts if nothing is said, and at most."""

    default: Duration = "2m"
    longest: Duration = "30m"


class BeatRuleBody(Wire):
    """The heartbeat that is owed."""

    every: Duration = "10s"
    missed_after: Duration = "30s"
    suspend_first: bool = False
    evidence: Literal["key", "fresh"] = "key"


class RenewalsBody(Wire):
    """How often a session may be renewed, and by how much."""

    times: Annotated[int, Field(ge=0, le=1000)] = 0
    by: Duration = "10m"


class PinBody(Wire):
    """A fact observed at opening that must stay as it was."""

    fact: Name
    on_drift: Fate = "end"


class BudgetBody(Wire):
    """How much a session may use in all; what is not named has no limit."""

    calls: Amount | None = None
    rows: Amount | None = None
    bytes: Amount | None = None
    cost: Amount | None = None


class ChildrenBody(Wire):
    """How deep and how wide a family may grow; both or neither."""

    depth: Annotated[int, Field(ge=0, le=8)] = 0
    fan_out: Annotated[int, Field(ge=0, le=1000)] = 0


class WindowBody(Wire):
    """Inside an event of `calendar`, outside those of `blackout`."""

    calendar: Name
    blackout: Name | None = None
    on_close: Fate = "end"


class ApprovalBody(Wire):
    """How many distinct people say yes, who they may be, and for how long that holds."""

    approvals: Annotated[int, Field(ge=1, le=10)] = 1
    approvers: Annotated[list[Name], Field(min_length=1, max_length=64)]
    answer_within: Duration = "1h"
    valid_for: Duration = "1h"


class CharterBody(Wire):
    """A charter document."""

    name: Kind
    owner: Line
    purpose: Line | None = None
    clients: Annotated[list[Name], Field(min_length=1, max_length=256)] | None = None
    openers: Annotated[list[OpenerBody], Field(min_length=1, max_length=64)] | None = None
    grants: Annotated[
        dict[Kind, TargetGrantBody | AudienceGrantBody], Field(default_factory=dict, max_length=64)
    ]
    phases: Annotated[list[PhaseBody], Field(min_length=1, max_length=16)] | None = None
    duration: DurationBody = DurationBody()
    idle: Duration | None = None
    beat: BeatRuleBody = BeatRuleBody()
    renewals: RenewalsBody = RenewalsBody()
    pins: Annotated[list[PinBody], Field(min_length=1, max_length=64)] | None = None
    budget: BudgetBody = BudgetBody()
    children: ChildrenBody = ChildrenBody()
    window: WindowBody | None = None
    approval: ApprovalBody | None = None
    ends_on: Annotated[list[Name], Field(min_length=1, max_length=64)] | None = None
    break_glass: bool = False


def published() -> dict[str, Any]:
    """The JSON Schema of a charter; a member without a value is left out, never null."""
    made = _without_null(CharterBody.model_json_schema())
    made["title"] = "A charter of Sojourn"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _without_null(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_null(one) for one in value if one != {"type": "null"}]
    if not isinstance(value, dict):
        return value
    kept = {name: _without_null(one) for name, one in value.items() if (name, one) != ("default", None)}
    chosen = kept.get("anyOf")
    if isinstance(chosen, list) and len(chosen) == 1:
        return {**{name: one for name, one in kept.items() if name != "anyOf"}, **chosen[0]}
    return kept
