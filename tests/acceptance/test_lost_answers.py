"""Answers get lost after the effect: as many effects as idempotency keys, and no session nobody holds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

import pytest

from sojourn.client.jsonfacts import Json, members, text
from sojourn.client.session import LiveSession, Wish, open_session
from sojourn.client.transport import Answer, Transport
from sojourn.core.errors import SojournError
from tests.acceptance.books import GRANT, with_books
from tests.rig.lossy import LossyProxy
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import System, running

OPENS: Final = 200
SHARE: Final = 0.2
_AT_ONCE: Final = 8


class Recording(Transport):
    """Goes through the proxy and notes each idempotency key, and each answer that said `spent`."""

    def __init__(self, issuer: str, port: int) -> None:
        super().__init__(issuer)
        self._parts = urlsplit(f"http://127.0.0.1:{port}")
        self.keys: Counter[str] = Counter()
        self.spent: set[str] = set()

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: bytes | None = None,
        wait_s: float = 0.0,
    ) -> Answer:
        """Send one request, once."""
        if key := headers.get("Idempotency-Key"):
            self.keys[key] += 1
        answer = super().send(method, path, headers, body=body, wait_s=wait_s)
        if key and answer.json().get("secret_spent") is True:
            self.spent.add(text(_member(answer.json()), "id"))
        return answer


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A system with a database."""
    with running(postgres) as system:
        with_books(system)
        yield system


@pytest.mark.timeout(180)
def test_as_many_effects_as_keys_though_a_fifth_of_the_answers_is_lost(system: System) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    with LossyProxy(system.port, share=SHARE, match=b"POST /v1/sessions", seed=seed) as proxy:
        wire = Recording(system.issuer, proxy.port)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = list(pool.map(lambda number: opened(system, wire, number), range(OPENS)))
    held = {one.id for one in answers if isinstance(one, LiveSession)}
    failed = [one for one in answers if not isinstance(one, LiveSession)]
    print(f"{proxy.lost} answers lost of {proxy.lost + proxy.passed}; {len(wire.keys)} keys,")
    print(f"{wire.keys.total()} sends, {len(wire.spent)} spent, {len(held)} held, {len(failed)} failed")

    everything = every_session(system)
    until(lambda: all(system.look(one).state == "ended" for one in wire.spent), within_s=30)
    living = {text(one, "id") for one in every_session(system) if one["state"] == "active"}

    assert proxy.lost > OPENS * SHARE / 2
    assert len(everything) == len(wire.keys)
    assert wire.spent and not wire.spent & held
    assert {error.code for error in failed} <= {"no_answer", "secret_lost"}
    # Whoever lost every answer holds nothing; that session ends when its beat is missed.
    assert held <= living and len(living - held) <= len(failed)
    assert len(system.roles()) == len(living)


def opened(system: System, wire: Recording, number: int) -> LiveSession | SojournError:
    """A session, or why there is none."""
    try:
        return open_session(system.workload, Wish("demo", f"lossy-{number}", [GRANT]), transport=wire)
    except SojournError as error:
        return error


def every_session(system: System) -> list[Json]:
    """All sessions on record, page by page."""
    found: list[Json] = []
    after = ""
    while True:
        answer = system.operator.ask("GET", f"/v1/sessions?limit=200{after}").json()
        found += members(answer, "sessions")
        if answer["next"] is None:
            return found
        after = f"&after={answer['next']}"


def _member(answer: Json) -> Json:
    session = answer["session"]
    assert isinstance(session, dict)
    return session
