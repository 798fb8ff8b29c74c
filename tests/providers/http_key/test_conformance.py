"""The suite every provider runs, and what only a key that never leaves must keep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from sojourn.core.errors import Refused, SojournError, TargetError
from sojourn.core.secret import Secret
from sojourn.core.standing import Severity, severity
from sojourn.ports.provider import Intent, Issued, Outgoing, Presence, Ref, RevocationClass
from sojourn.providers.http_key import HttpKey
from sojourn.testing.provider_conformance import SUITE, Rig, a_frozen_credential_thaws_with_a_new_secret_only
from tests.providers.http_rig import ShiftedClock, fresh_intent
from tests.rig.keyed_api import KEY, KeyedApi
from tests.rig.poll import until_async

pytestmark = pytest.mark.anyio
TEMPLATE: dict[str, object] = {
    "methods": ["GET", "POST"],
    "paths": ["/read", "/write", "/echo", "/echo-header", "/cookie", "/moved", "/ticks"],
}
MINE = (("Authorization", "Bearer mine"), ("Cookie", "a=b"), ("X-Forwarded-For", "1"))


@dataclass
class KeyedRig:
    """A workload that sends through the provider, and a look at the API itself."""

    api: KeyedApi
    provider: HttpKey
    clock: ShiftedClock

    def intent(self) -> Intent:
        return fresh_intent(self.clock, TEMPLATE, life=timedelta(minutes=5))

    async def can_log_in(self, issued: Issued) -> bool:
        try:
            return (await self.send(issued.target_id, "/write"))[0] == 200
        except SojournError:
            return False

    async def send(
        self, handle: str, path: str, *, method: str = "GET", body: bytes = b""
    ) -> tuple[int, bytes]:
        headers = (
            ("X-Who", handle),
            ("Authorization", "Bearer mine"),
            ("Cookie", "a=b"),
            ("X-Forwarded-For", "1"),
        )
        async with self.provider.forward(
            handle, TEMPLATE, Outgoing(method, path, "", headers, body)
        ) as answer:
            return answer.status, b"".join([piece async for piece in answer.pieces])

    @asynccontextmanager
    async def at_work(self, issued: Issued, *, tasks: int, every: float) -> AsyncIterator[None]:
        """Streams, each opened again when it is cut."""

        async def work() -> None:
            while True:
                try:
                    await self.send(issued.target_id, "/ticks")
                except SojournError:
                    await asyncio.sleep(every)

        running = [asyncio.create_task(work()) for _ in range(tasks)]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def writes(self, handle: str) -> int:
        return len(self.api.used_at[handle])

    async def last_write(self, handle: str) -> datetime | None:
        uses = self.api.used_at[handle]
        return datetime.fromtimestamp(max(uses), UTC) if uses else None

    async def target_now(self) -> datetime:
        return datetime.now(UTC)

    async def survivors(self, target_id: str) -> int:
        return self.api.streaming[target_id]


@pytest.fixture
async def rig() -> AsyncIterator[KeyedRig]:
    clock = ShiftedClock()
    with KeyedApi() as api:
        settings = {"base_url": api.base, "probe_path": "/read"}
        provider = HttpKey.configured(settings, {"all": TEMPLATE}, Secret(KEY), clock)
        yield KeyedRig(api, provider, clock)
        await provider.close()


# There is no secret that a thaw could change.
KEPT = [law for law in SUITE if law is not a_frozen_credential_thaws_with_a_new_secret_only]


@pytest.mark.parametrize("promise", KEPT, ids=lambda one: one.__name__)
async def test_it_keeps_the_contract(rig: KeyedRig, promise: Callable[[Rig], Awaitable[None]]) -> None:
    await promise(rig)


async def test_live_answers_stop_when_they_are_cut(rig: KeyedRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    async with rig.at_work(issued, tasks=6, every=0.02):
        while await rig.writes(intent.handle) < 20:
            await asyncio.sleep(0.02)

        await rig.provider.destroy(_ref(issued))
        cut_at = await rig.target_now()
        while await rig.survivors(intent.handle):
            await asyncio.sleep(0.02)

    last = await rig.last_write(intent.handle)
    assert last is not None and last <= cut_at + timedelta(seconds=1)
    assert rig.provider.revocation_class is RevocationClass.B


async def test_a_frozen_right_is_refused_until_it_thaws(rig: KeyedRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)

    await rig.provider.freeze(_ref(issued))
    frozen = await rig.can_log_in(issued)
    await rig.provider.thaw(_ref(issued), intent)

    assert not frozen and await rig.can_log_in(issued)


async def test_the_key_is_added_and_nothing_else_of_the_session_passes(rig: KeyedRig) -> None:
    issued = await rig.provider.issue(rig.intent())

    status, body = await rig.send(issued.target_id, "/write", method="POST", body=b'{"a": 1}')

    seen = rig.api.seen[-1]
    assert (status, body, seen["authorization"]) == (200, b'{"a": 1}', f"Bearer {KEY}")
    assert not {"cookie", "x-forwarded-for", "dpop"} & seen.keys() and seen["accept-encoding"] == "identity"
    assert not issued.secret.reveal()


@pytest.mark.parametrize("path", ["/echo", "/echo-header"])
async def test_an_answer_that_holds_the_key_is_stopped(rig: KeyedRig, path: str) -> None:
    issued = await rig.provider.issue(rig.intent())

    with pytest.raises(TargetError, match="secret_echoed"):
        await rig.send(issued.target_id, path)


async def test_a_cookie_is_not_handed_on_and_a_redirect_not_followed(rig: KeyedRig) -> None:
    issued = await rig.provider.issue(rig.intent())

    async with rig.provider.forward(
        issued.target_id, TEMPLATE, Outgoing("GET", "/cookie", "", (), b"")
    ) as answer:
        names = {name.lower() for name, _ in answer.headers}

    assert "set-cookie" not in names and "x-kept" in names
    assert (await rig.send(issued.target_id, "/moved"))[0] == 302


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/admin"), ("DELETE", "/read"), ("GET", "/read/../admin")]
)
async def test_what_the_template_does_not_cover_never_reaches_the_api(
    rig: KeyedRig, method: str, path: str
) -> None:
    issued = await rig.provider.issue(rig.intent())
    before = len(rig.api.seen)

    with pytest.raises(Refused):
        await rig.send(issued.target_id, path, method=method)

    assert len(rig.api.seen) == before


async def test_preflight_tries_the_key_and_its_end(rig: KeyedRig) -> None:
    checks = await rig.provider.preflight("sj_test_")

    assert [(c.name, c.ok) for c in checks] == [
        (name, True) for name in ("key taken", "needs the key", "cut", "refused")
    ]


@pytest.mark.parametrize(
    ("settings", "failed"),
    [
        ({"probe_path": "/open"}, "needs the key"),
        ({}, "probe"),
        ({"probe_path": "/read", "format": "X {key}"}, "key taken"),
    ],
)
async def test_preflight_says_what_is_wrong(rig: KeyedRig, settings: dict[str, object], failed: str) -> None:
    provider = HttpKey.configured({"base_url": rig.api.base, **settings}, {}, Secret(KEY), rig.clock)

    checks = await provider.preflight("sj_test_")
    await provider.close()

    assert [c.name for c in checks if not c.ok] == [failed] and checks[-1].mend


async def test_a_key_that_is_stored_safely_is_still_standing(rig: KeyedRig) -> None:
    """Safe storage is not governance (control C1)."""
    (found,) = await rig.provider.standing("sj_test_")

    assert severity(found, datetime.now(UTC)) is Severity.MEDIUM and KEY not in repr(found)


@pytest.mark.parametrize("fault", ["gone", "hung", "another key"])
async def test_an_end_needs_nothing_of_the_api(rig: KeyedRig, fault: str) -> None:
    """The right is in our hands alone: out of reach, silent, or with another key, the API has no say."""
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as silent:
        port = 1 if fault == "gone" else silent.sockets[0].getsockname()[1]
        base = rig.api.base if fault == "another key" else f"http://127.0.0.1:{port}"
        provider = HttpKey.configured({"base_url": base}, {"all": TEMPLATE}, Secret("x" * 32), rig.clock)
        lost = KeyedRig(rig.api, provider, rig.clock)
        issued = await provider.issue(intent := lost.intent())
        under_way = asyncio.create_task(_answer_of(lost.send(intent.handle, "/read")))
        if fault == "hung":
            await until_async(lambda: _waiting(provider, issued))
        else:
            assert await under_way == ("401" if fault == "another key" else "target_unreachable")

        await provider.destroy(_ref(issued))

        seen = await provider.observe(_ref(issued))
        assert (seen.presence, seen.detail["backends"]) == (Presence.LINGERING, int(fault == "hung"))
        assert await _answer_of(lost.send(intent.handle, "/read")) == "session_ended"
        under_way.cancel()
        await asyncio.wait([under_way])
        assert (await provider.observe(_ref(issued))).detail["backends"] == 0
        await provider.close()


async def _waiting(provider: HttpKey, issued: Issued) -> bool:
    return (await provider.observe(_ref(issued))).detail["backends"] == 1


async def _answer_of(call: Awaitable[tuple[int, bytes]]) -> str:
    try:
        return str((await call)[0])
    except SojournError as error:
        return error.code


def _ref(issued: Issued) -> Ref:
    return Ref(issued.target_id, issued.target_id)
