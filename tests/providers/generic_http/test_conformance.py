"""The suite every provider runs, here against a made-up API that is described."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from sojourn.core.errors import TargetError
from sojourn.core.secret import Secret
from sojourn.ports.provider import Intent, Issued, Presence, Ref
from sojourn.providers._http import LARGEST_ANSWER
from sojourn.providers.generic_http import GenericHttp
from sojourn.testing.provider_conformance import REMADE_SUITE, Rig
from tests.providers.http_rig import ShiftedClock, at_work, fresh_intent
from tests.rig.http_simulator import Said, Trouble
from tests.rig.key_service import ADMIN, KeyService, description

pytestmark = pytest.mark.anyio
TEMPLATES: dict[str, dict[str, object]] = {"reader": {"scope": ["read"]}}


@dataclass
class KeyRig:
    """A workload that uses its key, and a look into the service."""

    service: KeyService
    provider: GenericHttp
    clock: ShiftedClock
    line: httpx2.AsyncClient

    def intent(self) -> Intent:
        return fresh_intent(self.clock, {"scope": ["read"]}, life=timedelta(minutes=5))

    async def can_log_in(self, issued: Issued) -> bool:
        told = {"Authorization": f"Bearer {issued.secret.reveal()}"}
        answer = await self.line.post(issued.connection["url"], headers=told)
        return answer.status_code == 200

    def at_work(self, issued: Issued, *, tasks: int, every: float) -> AbstractAsyncContextManager[None]:
        return at_work(self.can_log_in, issued, tasks=tasks, every=every)

    async def writes(self, handle: str) -> int:
        return len(self._uses(handle))

    async def last_write(self, handle: str) -> datetime | None:
        uses = self._uses(handle)
        return datetime.fromtimestamp(max(uses), UTC) if uses else None

    async def target_now(self) -> datetime:
        return datetime.fromtimestamp(self.service.now(), UTC)

    async def survivors(self, target_id: str) -> int:
        every = [*self.service.keys.values(), *self.service.gone]
        return sum(1 for one in every if one.id == target_id and self.service.honoured(one.secret))

    def _uses(self, handle: str) -> list[float]:
        every = [*self.service.keys.values(), *self.service.gone]
        return [at for one in every if one.name == handle for at in one.used_at]


def provider_of(service: KeyService, clock: ShiftedClock, **other: object) -> GenericHttp:
    return GenericHttp.configured(description(service.base, **other), TEMPLATES, Secret(ADMIN), clock)


@asynccontextmanager
async def opened() -> AsyncIterator[KeyRig]:
    clock = ShiftedClock()
    with KeyService() as service:
        provider = provider_of(service, clock)
        async with httpx2.AsyncClient(trust_env=False) as line:
            yield KeyRig(service, provider, clock, line)
        await provider.close()


@pytest.fixture
async def rig() -> AsyncIterator[KeyRig]:
    async with opened() as one:
        yield one


@pytest.mark.parametrize("promise", REMADE_SUITE, ids=lambda one: one.__name__)
async def test_a_described_api_keeps_the_contract(
    rig: KeyRig, promise: Callable[[Rig], Awaitable[None]]
) -> None:
    await promise(rig)


async def test_preflight_makes_a_canary_and_leaves_nothing(rig: KeyRig) -> None:
    checks = await rig.provider.preflight("sj_test_")

    assert [(one.name, one.ok) for one in checks] == [
        (name, True) for name in ("issue", "use", "destroy", "observe", "refused")
    ]
    assert not rig.service.keys


async def test_a_delete_that_lies_is_found_out_by_asking(rig: KeyRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id, intent.expires_at, kept=issued.keep)
    rig.service.trouble(Trouble.LIE, when=lambda asked: asked.method == "DELETE")

    await rig.provider.destroy(ref)

    assert (await rig.provider.observe(ref)).presence is Presence.PRESENT


async def test_a_key_that_works_on_after_its_deletion_is_present_until_it_is_refused(rig: KeyRig) -> None:
    """A downstream that lies: it says 204 and 404, and honours the key for 25 s all the same."""
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id, intent.expires_at, kept=issued.keep)
    rig.service.lag_s = 25
    await rig.provider.destroy(ref)

    while_it_works = await rig.provider.observe(ref)
    rig.service.ahead_s += 26
    afterwards = await rig.provider.observe(ref)

    assert while_it_works.presence is Presence.PRESENT and while_it_works.method == "a use of the secret"
    assert afterwards.presence is Presence.ABSENT


@pytest.mark.parametrize(
    ("trouble", "code", "sent"),
    [
        (Trouble.THROTTLED, "target_busy", False),
        (Trouble.BROKEN, "target_failed", True),
        (Trouble.LOST, "target_unreachable", True),
        (Trouble.HUNG, "target_timeout", True),
    ],
)
async def test_a_failed_create_says_whether_it_may_have_had_an_effect(
    rig: KeyRig, trouble: Trouble, code: str, sent: bool
) -> None:
    rig.service.trouble(trouble, when=lambda asked: asked.method == "POST")
    rig.provider._http._seconds = 0.5
    intent = rig.intent()

    with pytest.raises(TargetError) as caught:
        await rig.provider.issue(intent)

    assert (caught.value.code, caught.value.sent) == (code, sent)
    ref = Ref(intent.handle, await rig.provider.locate(intent.handle), intent.expires_at, intent.issue_by)
    assert (ref.target_id is not None) == (trouble is Trouble.LOST)
    if ref.target_id is None:
        assert (await rig.provider.observe(ref)).presence is Presence.UNKNOWN
    await rig.provider.destroy(ref)
    rig.clock.ahead_s = 120
    assert (await rig.provider.observe(ref)).presence is Presence.ABSENT
    assert not rig.service.keys


async def test_class_c_lingers_until_the_expiry_it_was_given(rig: KeyRig) -> None:
    api = description(rig.service.base, revocation_class="C", keep_secret=False)
    del api["probe"]
    provider = GenericHttp.configured(api, TEMPLATES, Secret(ADMIN), rig.clock)
    intent = rig.intent()
    issued = await provider.issue(intent)
    ref = Ref(intent.handle, issued.target_id, intent.expires_at)
    await provider.destroy(ref)

    seen = await provider.observe(ref)

    assert seen.presence is Presence.LINGERING
    assert seen.lasting is not None and seen.lasting.until == intent.expires_at
    await provider.close()


async def test_hostile_names_stay_in_their_place(rig: KeyRig) -> None:
    """A handle is ours, but an id is the API's: whatever it is, it is one segment of a path."""
    for hostile in ("../../admin", "a/b", "a?b=c", "a#b", "%2e%2e", "ü\u202e", "a b"):
        await rig.provider.destroy(Ref(rig.intent().handle, hostile))

        assert rig.service.asked[-1].path == ("v1", "keys", hostile)
        assert not rig.service.asked[-1].query
    for relative in ("..", "."):
        with pytest.raises(TargetError, match="bad_segment"):
            await rig.provider.destroy(Ref(rig.intent().handle, relative))


async def test_an_answer_that_unfolds_or_has_no_end_is_refused(rig: KeyRig) -> None:
    for said_instead in (
        Said(200, gzip.compress(b'{"keys": []}'), {"Content_Encoding": "gzip"}),
        Said(200, b'"' + b"x" * LARGEST_ANSWER + b'"'),
        Said(200, b"[" * 50_000),
        Said(302, b"", {"Location": f"{rig.service.base}/v1/elsewhere"}),
    ):
        rig.service.lie = said_instead
        rig.service.trouble(Trouble.LIE)

        with pytest.raises(TargetError):
            await rig.provider.inventory("sj_")

    assert not any("elsewhere" in asked.path for asked in rig.service.asked)


async def test_a_ca_file_that_is_not_there_is_an_error_of_ours(rig: KeyRig) -> None:
    provider = provider_of(rig.service, rig.clock, ca_file="/nonexistent/ca.pem")

    with pytest.raises(TargetError, match="bad_ca_file") as caught:
        await provider.issue(rig.intent())

    assert not caught.value.sent
