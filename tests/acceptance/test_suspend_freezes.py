"""Suspend freezes for real and only fresh evidence thaws; races between the verbs leave nothing open."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import anyio
import pytest

from sojourn.client.caller import ClientCaller
from sojourn.client.evidence import KeySource
from sojourn.client.jsonfacts import Json, members
from sojourn.client.session import LiveSession
from sojourn.client.views import CredentialView, TokenView
from sojourn.core.errors import Conflict, Refused, SojournError, Unauthenticated
from tests.acceptance.books import GRANT, left_of, oid_of, with_books
from tests.acceptance.login import lets_in, long_query
from tests.rig.poll import fault_falls_after, until
from tests.rig.postgres import PostgresServer
from tests.rig.system import API_GRANT, AUDIENCE, System, running

ROUNDS: Final = 20
FENCE_S: Final = 1.0


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    """A system with a database and an API to be kept out of."""
    with running(postgres) as system:
        with_books(system)
        yield system


@pytest.fixture(scope="module")
def guard(system: System) -> ClientCaller:
    """Hears what guards hear."""
    return system.caller(system.add_client("listener", "guard", audience=AUDIENCE))


def test_a_suspended_session_is_cut_off_and_kept_out(system: System, guard: ClientCaller) -> None:
    live = system.open("freeze", grants=[GRANT, API_GRANT])
    password, token = live.credentials[0], live.token_for(AUDIENCE)
    oid = oid_of(system, password.connection["user"])
    at_work = long_query(password)
    until(lambda: backends(system, oid))

    suspend(system, live)
    until(lambda: at_work.poll() is not None)
    until(lambda: frozen(system, live))

    assert at_work.returncode != 0
    assert backends(system, oid) == 0
    assert not lets_in(password)
    assert token is not None and dead_by_feed(guard, token)
    assert live.beat().state == "suspended" and live.token_for(AUDIENCE) is None


def test_fresh_evidence_brings_a_new_password_and_the_old_one_stays_dead(
    system: System, guard: ClientCaller
) -> None:
    live = system.open("thaw", grants=[GRANT, API_GRANT])
    old, old_token = live.credentials[0], live.token_for(AUDIENCE)
    oid = oid_of(system, old.connection["user"])
    suspend(system, live)

    resume(live)
    new, new_token = live.credentials[0], live.token_for(AUDIENCE)

    assert new.secret.reveal() != old.secret.reveal()
    assert lets_in(new) and not lets_in(old)
    assert oid_of(system, new.connection["user"]) == oid
    assert old_token is not None and dead_by_feed(guard, old_token)
    assert new_token is not None and not dead_by_feed(guard, new_token)


def test_evidence_of_another_workload_thaws_nothing(system: System) -> None:
    live = system.open("stranger", grants=[GRANT])
    suspend(system, live)
    until(lambda: frozen(system, live))
    stranger = system.add_client("stranger", "workload")
    live._source = KeySource(stranger)  # the session's key with somebody else's evidence

    with pytest.raises(Unauthenticated):
        live.resume()

    assert system.look(live.id).state == "suspended"
    assert not lets_in(live.credentials[0])


def test_suspend_resume_and_kill_may_race_and_leave_nothing_open(system: System) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, oids = random.Random(seed), []

    for number in range(ROUNDS):
        live = system.open(f"race-{number}", grants=[GRANT])
        oids.append(oid_of(system, live.credentials[0].connection["user"]))
        passwords = race(system, live, chance, killed=number % 2 == 0)
        judge(system, live, passwords, killed=number % 2 == 0)

    assert left_of(system, oids) == 0


def race(system: System, live: LiveSession, chance: random.Random, *, killed: bool) -> list[CredentialView]:
    """Let the verbs loose on one session; every password that was ever told."""
    passwords = list(live.credentials)

    def thaw() -> None:
        resume(live, within_s=3)
        passwords.extend(live.credentials)

    verbs: list[Callable[[], object]] = [lambda: suspend(system, live), thaw]
    verbs += [lambda: suspend(system, live)]
    verbs += [lambda: system.end(live.id)] if killed else []
    chance.shuffle(verbs)
    with ThreadPoolExecutor(len(verbs)) as pool:
        started = [pool.submit(after, chance.uniform(0, 0.25), verb) for verb in verbs]
        for one in started:
            one.result(timeout=30)
    return passwords


def after(seconds: float, verb: Callable[[], object]) -> None:
    """Do it at this moment of the race; to be refused is an answer."""
    anyio.run(fault_falls_after, seconds)
    try:
        verb()
    except (Refused, Conflict, AssertionError):
        return  # the last: it was never frozen for long enough to be thawed


def judge(system: System, live: LiveSession, passwords: list[CredentialView], *, killed: bool) -> None:
    """The state on record is the state of the target."""
    if not killed:
        state = settled(system, live)
        assert [lets_in(password) for password in passwords[:-1]] == [False] * (len(passwords) - 1) or (
            state == "active" and len(passwords) == 1
        )
        assert lets_in(passwords[-1]) == (state == "active"), state
        system.end(live.id)
    assert system.look(live.id, until_ended_s=20).state == "ended"
    assert not any(lets_in(password) for password in passwords)


def settled(system: System, live: LiveSession) -> str:
    """Its state, once the target agrees."""
    until(lambda: system.look(live.id).state == "active" or frozen(system, live))
    return system.look(live.id).state


def suspend(system: System, live: LiveSession) -> None:
    """Suspend as the operator."""
    system.operator.ask("POST", f"/v1/sessions/{live.id}/suspend", {})


def resume(live: LiveSession, *, within_s: float = 10.0) -> None:
    """Prove again who it is, as soon as what is to be thawed is frozen."""

    def thawed() -> bool:
        try:
            live.resume()
        except SojournError as error:
            if error.code == "still_freezing" or error.code == "wrong_state":
                return False
            raise
        return True

    until(thawed, within_s=within_s)


def frozen(system: System, live: LiveSession) -> bool:
    """Whether every lease is frozen, as far as is on record."""
    return all(lease["state"] == "frozen" for lease in system.leases(live.id))


def backends(system: System, oid: int) -> int:
    """How many connections the role has."""
    return int(system.postgres.sql(f"SELECT count(*) FROM pg_stat_activity WHERE usesysid = {oid}"))


def dead_by_feed(guard: ClientCaller, token: TokenView) -> bool:
    """Whether a guard that hears everything from the start refuses the token."""
    middle = token.token.reveal().split(".")[1]
    claims: Json = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    entries = members(guard.ask("POST", "/v1/feed", {"mark": None}, wait_s=5).json(), "entries")
    mine = [entry for entry in entries if entry["kind"] == "session" and entry["id"] == claims["sid"]]
    gen = claims["gen"]
    assert isinstance(gen, int)
    return any(e["min_gen"] is None or (isinstance(e["min_gen"], int) and gen < e["min_gen"]) for e in mine)
