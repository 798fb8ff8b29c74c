"""What the stories about rules have in common: policies, calendars and charters of a running system."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

import pytest

from sojourn.client.jsonfacts import Json
from sojourn.client.session import LiveSession, Wish, open_session
from sojourn.client.signing import decode
from sojourn.client.views import TokenView
from sojourn.core.errors import SojournError
from tests.calendar.naive import calendar_of
from tests.rig.system import System

ALL: Final = '@id("charters-admit") permit (principal, action, resource);\n'


def apply(system: System, policies: str) -> None:
    system.operator.ask("PUT", "/v1/policies", {"text": policies})


def publish(system: System, name: str, *spans: tuple[datetime, datetime]) -> None:
    """Put a calendar into the server's folder, whole at once."""
    folder = system.place / "state" / "calendars"
    folder.mkdir(exist_ok=True)
    events = [f"DTSTART:{a:%Y%m%dT%H%M%SZ}\r\nDTEND:{b:%Y%m%dT%H%M%SZ}" for a, b in spans]
    fresh = folder / f".{name}"
    fresh.write_text(calendar_of(*events))
    fresh.rename(folder / f"{name}.ics")


def charter(system: System, name: str, **members_of: object) -> None:
    """A charter of its own for a test."""
    system.apply_charter(name=name, **members_of)


def opened(system: System, name: str, *, grants: list[str] | None = None) -> LiveSession:
    return open_session(system.workload, Wish(name, "1", grants), transport=system.transport)


def refusal(system: System, name: str) -> SojournError:
    with pytest.raises(SojournError) as refused:
        opened(system, name)
    return refused.value


def shown(system: System, session: str) -> Json:
    return system.operator.ask("GET", f"/v1/sessions/{session}").json()


def scope_of(token: TokenView) -> str:
    """The scope that a token carries, read without a key."""
    return str(json.loads(decode(token.token.reveal().split(".")[1]))["scope"])


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
