"""What an OAuth form says, read strictly where it matters and leniently where the standards ask for it.

An unknown parameter is ignored and one without a value counts as absent (RFC 6749, section 3.2);
one that is repeated is refused, but for `resource` and `audience`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl

import msgspec

from sojourn.core.errors import Invalid
from sojourn.core.session import Task
from sojourn.faces.http import strict_json
from sojourn.faces.http.limits import FORM_FIELDS

DETAILS_TYPE: Final = "sojourn_session"
_REPEATABLE: Final = frozenset({"resource", "audience"})

_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_Line = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]{1,256}$")]


class TaskPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The work: `kind` picks the charter, `ref` names this one run."""

    kind: _Name
    ref: _Line


class ActorPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who alone may act for the session by this token: what the child is to be bound to."""

    sub: Annotated[str, msgspec.Meta(pattern=r"^(x5t#S256:)?[A-Za-z0-9_-]{43}$")]


class SessionDetails(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one type of `authorization_details` (RFC 9396): a session that is asked for."""

    type: Literal["sojourn_session"]
    task: TaskPart | None = None
    grants: Annotated[list[_Name], msgspec.Meta(max_length=64)] = []
    duration_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] | None = None
    context: Annotated[dict[_Name, _Line], msgspec.Meta(max_length=32)] = {}
    evidence: _Name | None = None  # of a jwt-bearer grant: which attestor recognises the assertion
    client: _Name | None = None  # and which federated client it is to be, where one must be named
    may_act: ActorPart | None = None  # of an exchange of one's own token (RFC 8693, section 4.4)

    @property
    def duration(self) -> timedelta | None:
        """How long, if it was said."""
        return None if self.duration_s is None else timedelta(seconds=self.duration_s)

    def wanted_task(self) -> Task:
        """The task, which an opening needs.

        Raises:
            Invalid: code `invalid_authorization_details`.
        """
        if self.task is None:
            raise Invalid("invalid_authorization_details", "expected `task` with `kind` and `ref`")
        self.refuse_actor()
        return Task(self.task.kind, self.task.ref)

    def refuse_actor(self) -> None:
        """Refuse `may_act` where it would mean nothing.

        Raises:
            Invalid: code `invalid_authorization_details`.
        """
        if self.may_act is not None:
            wanted = "`may_act` goes with the exchange of one's own token, without an actor"
            raise Invalid("invalid_authorization_details", wanted)


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters that have a value."""

    pairs: tuple[tuple[str, str], ...]
    first: Mapping[str, str]  # by name

    def get(self, name: str) -> str | None:
        """The parameter, or None."""
        return self.first.get(name)

    def need(self, name: str) -> str:
        """The parameter.

        Raises:
            Invalid: code `invalid_request`.
        """
        value = self.get(name)
        if value is None:
            raise Invalid("invalid_request", f"parameter `{name}` is missing")
        return value

    @property
    def audience(self) -> str | None:
        """The one place the token is for (RFC 8707, RFC 8693), if it was said.

        Raises:
            Invalid: code `invalid_target`; more than one, or not an absolute address.
        """
        named = {value for key, value in self.pairs if key in _REPEATABLE}
        if len(named) > 1:
            raise Invalid("invalid_target", "a token is for one audience; ask for one at a time")
        resource = self.get("resource")
        if resource is not None and (":" not in resource or "#" in resource):
            raise Invalid("invalid_target", "`resource` must be an absolute URI without a fragment")
        return next(iter(named), None)

    @property
    def scope(self) -> frozenset[str] | None:
        """The actions that the token is asked for; None: all."""
        value = self.get("scope")
        return None if value is None else frozenset(value.split())

    def details(self) -> SessionDetails | None:
        """The session that is asked for, if there is one.

        Raises:
            Invalid: code `invalid_authorization_details`.
        """
        text = self.get("authorization_details")
        if text is None:
            return None
        try:
            listed = strict_json.read(text.encode())
            (asked,) = msgspec.convert(listed, list[SessionDetails])
        except (Invalid, ValueError, msgspec.MsgspecError) as error:
            wanted = f"expected a JSON array of one object of type `{DETAILS_TYPE}`"
            raise Invalid("invalid_authorization_details", f"{wanted}: {str(error)[:200]}") from error
        return asked


def read_form(body: bytes) -> Form:
    """The form in `body`.

    Raises:
        Invalid: code `invalid_request`.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS
        )
    except ValueError as error:
        raise Invalid("invalid_request", "expected a form in ASCII with few fields") from error
    single = [key for key, _ in pairs if key not in _REPEATABLE]
    if len(set(single)) != len(single):
        raise Invalid("invalid_request", "a parameter is repeated")
    said = tuple((key, value) for key, value in pairs if value)
    return Form(said, dict(reversed(said)))
