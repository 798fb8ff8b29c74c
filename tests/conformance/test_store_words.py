"""Whatever people wrote lands: a name or a reason in any script holds up neither an opening nor an end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core import session
from sojourn.core.change import Change
from sojourn.core.ending import Cause, Reason
from sojourn.core.session import State, Task
from sojourn.ports.store import Store
from tests.rig.store import START, a_session, require_replay

pytestmark = pytest.mark.anyio
HOLDS_OF_EVERY_STORE = True

WORDS = ["", "größe", "\u2028", "\uffff", "\U0001f600 \U0001f4a5", 'a"\\\U0001f600\n']


@pytest.mark.parametrize("words", WORDS, ids=ascii)
async def test_a_session_is_opened_and_ended_whatever_its_words(store: Store, words: str) -> None:
    asked = replace(a_session(), task=Task("demo", words), context={"note": words})
    step = session.request(asked, (words,))
    step = step.then(session.approve(step.row, words, START, {"policies": [words]}))
    await store.commit(Change(steps=(step,)))

    await store.commit(
        Change(steps=(session.begin_end(step.row, Cause(Reason.KILLED, words, words), START),))
    )

    read = await store.session(asked.id)
    assert read is not None and read.cause is not None
    assert (read.state, read.task.ref, read.cause.detail) == (State.REVOKING, words, words)
    await require_replay(store)
