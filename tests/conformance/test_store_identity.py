"""Sessions are found by the facts that name their job, without looking at any other session."""

from __future__ import annotations

import pytest

from sojourn.core import session
from sojourn.core.change import Change
from sojourn.core.ending import Cause, Reason
from sojourn.core.session import State
from sojourn.core.trigger import mark_of
from sojourn.ports.store import SessionFilter, Store
from tests.rig.store import START, a_session, require_replay

pytestmark = pytest.mark.anyio
HOLDS_OF_EVERY_STORE = True

KILLED = Cause(Reason.KILLED, "ops", "")


async def test_a_session_is_found_by_the_facts_that_name_its_job_until_it_has_ended(store: Store) -> None:
    job = {"gitlab.project_id": "7", "gitlab.job_id": "1", "gitlab.pipeline_id": "5"}
    for number, context in enumerate((job, {**job, "gitlab.job_id": "2"}, {"gitlab.job_id": "1"}), 1):
        await store.commit(Change(steps=(session.request(a_session(number, context=context)),)))

    async def known(**facts: str) -> list[str]:
        named = mark_of({f"gitlab.{name}": value for name, value in facts.items()})
        which = SessionFilter(states=frozenset(State) - {State.ENDED}, identity=named)
        return [found.task.ref for found in await store.sessions(which, after=None, limit=9)]

    assert await known(project_id="7", job_id="1") == ["1"]
    assert await known(project_id="7", pipeline_id="5") == ["1", "2"]
    assert await known(project_id="8", pipeline_id="5") == await known(job_id="1") == []
    await require_replay(store)

    ended = session.begin_end(a_session(1, context=job), KILLED, START)
    await store.commit(Change(steps=(ended,)))

    assert await known(project_id="7", pipeline_id="5") == ["2"]
    assert await store.sessions(SessionFilter(identity=mark_of({})), after=None, limit=9) == []
    await require_replay(store)


ODD = ["x", "100%", "a_b", "/", "\\", '"', "größe", "\U0001f600", "a\tb", "\u2028", "</script>", "X"]


async def test_a_session_is_found_by_whatever_stands_in_its_context(store: Store) -> None:
    for number, value in enumerate(ODD, 1):
        await store.commit(
            Change(steps=(session.request(a_session(number, context={f"odd.{value}": value})),))
        )

    for number, value in enumerate(ODD, 1):
        which = SessionFilter(facts=frozenset({(f"odd.{value}", value)}))
        found = [one.task.ref for one in await store.sessions(which, after=None, limit=99)]
        assert str(number) in found and len(found) <= 2, (value, found)  # `x` may be found with `X`
    for absent in ({("odd.x", "y")}, {("odd.x", "x"), ("odd./", "/")}, {("odd", "x")}):
        assert await store.sessions(SessionFilter(facts=frozenset(absent)), after=None, limit=9) == []
