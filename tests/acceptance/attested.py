"""Sessions of workloads that their platforms vouch for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sojourn.client.evidence import Source, Workload
from sojourn.client.session import LiveSession, Wish, open_session
from sojourn.core.errors import SojournError
from tests.rig.issuers.platforms import NAMES, Platforms
from tests.rig.postgres import PostgresServer
from tests.rig.system import DATABASE_GRANT, TARGET, Plan, System, running


@contextmanager
def running_attested(postgres: PostgresServer, platforms: Platforms) -> Iterator[System]:
    """A system that knows every platform, with charters that demand fresh evidence, and one that does not."""
    fresh = {"every": "1s", "missed_after": "10s", "evidence": "fresh"}
    told = {
        "clients": [*NAMES, "runner"],
        "grants": {DATABASE_GRANT: {"target": TARGET, "template": "readonly"}},
    }
    with running(postgres, Plan(tables=platforms.tables())) as system:
        platforms.register(system)
        system.apply_charter(name="deploy", beat=fresh, **told)
        system.apply_charter(name="impatient", beat={**fresh, "missed_after": "3s"}, **told)
        system.apply_charter(name="lenient", **told)
        pins = [{"fact": "gitlab.runner_id", "on_drift": "suspend"}]
        system.apply_charter(name="pinned", beat=fresh, pins=pins, **told)
        yield system


def opened(system: System, workload: Workload, kind: str = "deploy") -> LiveSession:
    """A session with a database login."""
    return open_session(workload, Wish(kind, "1", [DATABASE_GRANT]), transport=system.transport)


def refusal(system: System, workload: Workload, kind: str = "deploy") -> SojournError:
    """Why a session was not opened."""
    with pytest.raises(SojournError) as found:
        opened(system, workload, kind)
    return found.value


class Fixed:
    """A source that shows what a test tells it to."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.shown = dict(source.gather())

    def gather(self) -> dict[str, str]:
        return self.shown
