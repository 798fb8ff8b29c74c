"""Who becomes a client, by whose word, and what is left when one is removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from sojourn.adapters.opened_store import open_memory
from sojourn.adapters.sql_store import SqlStore
from sojourn.adapters.system_clock import SystemClock, SystemEntropy
from sojourn.config import Settings
from sojourn.core.change import Change, Once
from sojourn.core.client import Client, Role
from sojourn.core.ending import Cause, Reason
from sojourn.core.errors import Conflict, Invalid, NotFound, Refused, SojournError
from sojourn.core.ids import CLIENT, ClientId, from_uuid
from sojourn.core.session import State, begin_end, request
from sojourn.jose import Es256Key, VerifyKey
from sojourn.services.carry_out_kills import CarryOutKills
from sojourn.services.end_session import EndSession
from sojourn.services.order_kill import OrderKill
from sojourn.services.register_client import INVITATION, RegisterClient, invitation_key
from sojourn.services.remove_client import RemoveClient
from tests.rig.store import a_session

pytestmark = pytest.mark.anyio
LINK = "the-secret-of-the-link"
DONE = Cause(Reason.COMPLETED, "cli_x")
CLOCK, ENTROPY = SystemClock(), SystemEntropy()
SETTINGS = Settings("https://sojourn.example")


@pytest.fixture
async def store() -> AsyncIterator[SqlStore]:
    opened = await open_memory()
    yield opened
    await opened.close()


def registering(store: SqlStore) -> RegisterClient:
    return RegisterClient(store, CLOCK, ENTROPY, lambda jwk: VerifyKey.from_jwk(jwk).jwk)


def removing(store: SqlStore) -> RemoveClient:
    return RemoveClient(store, CLOCK, OrderKill(store, CLOCK, ENTROPY, SETTINGS))


async def invite(store: SqlStore, *, minutes: int = 15) -> None:
    until = CLOCK.now() + timedelta(minutes=minutes)
    await store.commit(Change(once=(Once(INVITATION, invitation_key(LINK), until),)))


async def add(store: SqlStore, name: str = "job", role: Role = Role.WORKLOAD) -> Client:
    audience = "https://api" if role is Role.GUARD else None
    key = Es256Key.generate().jwk
    return await registering(store)(name=name, role=role, owner="team", jwk=key, audience=audience)


async def refusal_of(attempt: object) -> str:
    with pytest.raises(SojournError) as refusal:
        await attempt  # type: ignore[misc]
    return refusal.value.code


# -- registering -------------------------------------------------------------------------


async def test_a_client_is_known_by_the_public_half_of_its_key(store: SqlStore) -> None:
    key = Es256Key.generate()

    made = await registering(store)(name="job", role=Role.WORKLOAD, owner="team", jwk=key.jwk, audience=None)

    assert await store.client(made.id) == made == await store.client_named("job")
    assert made.thumbprint == key.thumbprint and "d" not in made.jwk
    assert made.owner == "team" and made.removed_at is None


@pytest.mark.parametrize("name", ["", "Job", "-job", "job/1", "job\n", "j" * 64, "jöb", "..", " job"])
async def test_a_name_is_plain(store: SqlStore, name: str) -> None:
    assert await refusal_of(add(store, name)) == "bad_name"
    assert await store.clients() == []


@pytest.mark.parametrize(("role", "audience"), [(Role.GUARD, None), (Role.WORKLOAD, "https://api")])
async def test_a_guard_and_only_a_guard_has_an_audience(
    store: SqlStore, role: Role, audience: str | None
) -> None:
    key = Es256Key.generate().jwk

    with pytest.raises(Invalid) as refusal:
        await registering(store)(name="g", role=role, owner="team", jwk=key, audience=audience)

    assert refusal.value.code == "audience_expected"


@pytest.mark.parametrize("change", [{"kty": "RSA"}, {"crv": "P-384"}, {"x": "AAAA"}, {"y": ""}, {"x": "?"}])
async def test_a_key_that_is_none_is_refused(store: SqlStore, change: dict[str, str]) -> None:
    jwk = {**Es256Key.generate().jwk, **change}

    with pytest.raises(Invalid) as refusal:
        await registering(store)(name="job", role=Role.WORKLOAD, owner="team", jwk=jwk, audience=None)

    assert refusal.value.code == "bad_key"


async def test_a_name_is_taken_once_however_many_ask_for_it(store: SqlStore) -> None:
    answers = await asyncio.gather(*(add(store) for _ in range(20)), return_exceptions=True)

    made = [one for one in answers if isinstance(one, Client)]
    assert len(made) == 1 == len(await store.clients())
    assert all(isinstance(one, Conflict) for one in answers if one is not made[0])


async def test_a_name_is_free_again_after_a_removal(store: SqlStore) -> None:
    first = await add(store)
    await removing(store)(first.id, by="ada")

    second = await add(store)

    assert second.id != first.id
    assert await store.client_named("job") == second


# -- login -------------------------------------------------------------------------------


async def test_of_200_who_hold_the_link_exactly_one_becomes_operator(store: SqlStore) -> None:
    for round_ in range(5):
        await invite(store)

        async def try_it(number: int, round_: int = round_) -> Client:
            key, mark = (
                Es256Key.generate().jwk,
                Once("dpop", str(uuid4()), CLOCK.now() + timedelta(minutes=1)),
            )
            return await registering(store).login(
                link=LINK, name=f"op-{round_}-{number}", jwk=key, once=(mark,)
            )

        answers = await asyncio.gather(*(try_it(number) for number in range(200)), return_exceptions=True)

        made = [one for one in answers if isinstance(one, Client)]
        others = [one.code for one in answers if isinstance(one, SojournError)]
        assert len(made) == 1 and made[0].role is Role.OPERATOR
        assert others == ["unknown_mark"] * 199
        assert len(await store.clients()) == round_ + 1


async def test_a_link_is_spent_only_by_a_login_that_lands(store: SqlStore) -> None:
    await invite(store)
    await add(store, "taken")
    login, key = registering(store).login, Es256Key.generate().jwk

    taken = await refusal_of(login(link=LINK, name="taken", jwk=key, once=()))
    bad = await refusal_of(login(link=LINK, name="ada", jwk={"kty": "EC"}, once=()))
    ada = await login(link=LINK, name="ada", jwk=key, once=())

    assert (taken, bad, ada.name) == ("client_exists", "bad_key", "ada")


async def test_a_link_that_is_wrong_or_expired_lets_nobody_in(store: SqlStore) -> None:
    await invite(store, minutes=-1)
    login, key = registering(store).login, Es256Key.generate().jwk

    for link in (LINK, LINK.upper(), "", invitation_key(LINK)):
        assert await refusal_of(login(link=link, name=None, jwk=key, once=())) == "unknown_mark"
    assert await store.clients() == []


async def test_operators_without_a_name_get_names_of_their_own(store: SqlStore) -> None:
    names = set()
    for _ in range(3):
        await invite(store)
        jwk = Es256Key.generate().jwk
        names.add((await registering(store).login(link=LINK, name=None, jwk=jwk, once=())).name)

    assert len(names) == 3 and all(name.startswith("operator-") for name in names)


# -- removing ----------------------------------------------------------------------------


async def test_a_removed_client_loses_every_session_it_opened_and_no_other(store: SqlStore) -> None:
    gone, stays = await add(store, "gone"), await add(store, "stays")
    mine = [request(a_session(number, client=gone.id)) for number in range(1, 4)]
    over = mine[0].then(begin_end(mine[0].row, DONE, CLOCK.now()))
    other = request(a_session(9, client=stays.id))
    await store.commit(Change(steps=(over, *mine[1:], other)))

    removed = await removing(store)(gone.id, by="ada")
    await CarryOutKills(store, CLOCK, EndSession(store, CLOCK, ENTROPY, SETTINGS)).run_once()
    again = await removing(store)(gone.id, by="bob")

    found = {one.id: one for one in [await store.session(step.row.id) for step in (*mine, other)] if one}
    assert removed.removed_at is not None and again == removed
    assert [found[step.row.id].state for step in mine] == [State.ENDED] * 3
    assert found[mine[0].row.id].cause == DONE
    assert all(found[s.row.id].cause.source == "ada" for s in mine[1:])  # type: ignore[union-attr]
    assert found[other.row.id].state is State.REQUESTED


async def test_nobody_unknown_is_removed(store: SqlStore) -> None:
    with pytest.raises(NotFound):
        await removing(store)(ClientId(from_uuid(CLIENT, ENTROPY.uuid7())), by="ada")


async def test_an_invitation_cannot_be_read_back_from_the_store(store: SqlStore) -> None:
    await invite(store)

    with pytest.raises(Refused):
        await store.commit(Change(once=(Once(INVITATION, invitation_key(LINK), CLOCK.now()),)))
    assert LINK not in invitation_key(LINK) and len(invitation_key(LINK)) == 64
