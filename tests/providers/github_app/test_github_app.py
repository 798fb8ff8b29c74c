"""Installation tokens of a simulated GitHub: the suite, and what its ways to fail come to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from joserfc.jwk import RSAKey

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.ports.provider import Intent, Issued, Presence, Ref
from sojourn.providers.github_app import TOKEN_LIFE, GitHubApp
from sojourn.testing.provider_conformance import NAMELESS_SUITE, Rig
from tests.providers.http_rig import ShiftedClock, at_work, fresh_intent
from tests.rig.github import APP, INSTALLATION, GitHub
from tests.rig.http_simulator import Trouble
from tests.rig.poll import until_async

pytestmark = pytest.mark.anyio
SHOP: dict[str, object] = {"repositories": ["shop"], "permissions": {"contents": "read"}}


@dataclass
class GitHubRig:
    """A workload that lists its repositories, and a look behind the API."""

    github: GitHub
    provider: GitHubApp
    clock: ShiftedClock
    line: httpx2.AsyncClient

    def intent(self, template: dict[str, object] | None = None) -> Intent:
        return fresh_intent(self.clock, template or SHOP, life=timedelta(minutes=30))

    async def can_log_in(self, issued: Issued) -> bool:
        told = {"Authorization": f"Bearer {issued.secret.reveal()}"}
        place = f"{self.github.base}/installation/repositories"
        return (await self.line.get(place, headers=told)).status_code == 200

    def at_work(self, issued: Issued, *, tasks: int, every: float) -> AbstractAsyncContextManager[None]:
        return at_work(self.can_log_in, issued, tasks=tasks, every=every)

    async def writes(self, handle: str) -> int:
        return sum(len(token.used_at) for token in self.github.tokens.values())

    async def last_write(self, handle: str) -> datetime | None:
        uses = [at for token in self.github.tokens.values() for at in token.used_at]
        return datetime.fromtimestamp(max(uses), UTC) if uses else None

    async def target_now(self) -> datetime:
        return datetime.fromtimestamp(self.github.now(), UTC)

    async def survivors(self, target_id: str) -> int:
        return sum(1 for text in self.github.tokens if self.github.honoured(text))

    def ref(self, intent: Intent, issued: Issued) -> Ref:
        return Ref(intent.handle, issued.target_id, intent.expires_at, kept=issued.keep)


@pytest.fixture(scope="module")
def key() -> RSAKey:
    return RSAKey.generate_key(2048, private=True)


@asynccontextmanager
async def opened(key: RSAKey) -> AsyncIterator[GitHubRig]:
    clock = ShiftedClock()
    with GitHub(key) as github:
        settings = {"app": APP, "installation": INSTALLATION, "api": github.base}
        secret = Secret(key.as_pem(private=True).decode())
        provider = GitHubApp.configured(settings, {"shop": SHOP}, secret, clock)
        async with httpx2.AsyncClient(trust_env=False) as line:
            yield GitHubRig(github, provider, clock, line)
        await provider.close()


@pytest.fixture
async def rig(key: RSAKey) -> AsyncIterator[GitHubRig]:
    async with opened(key) as one:
        yield one


@pytest.mark.parametrize("promise", NAMELESS_SUITE, ids=lambda one: one.__name__)
async def test_installation_tokens_keep_the_contract(
    rig: GitHubRig, promise: Callable[[Rig], Awaitable[None]]
) -> None:
    await promise(rig)


async def test_class_c_holds_the_next_request_is_refused(rig: GitHubRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    async with rig.at_work(issued, tasks=4, every=0.02):
        await until_async(lambda: rig.writes(intent.handle))
        begun = await rig.target_now()
        await rig.provider.destroy(rig.ref(intent, issued))
        seen = await rig.provider.observe(rig.ref(intent, issued))
        last = await rig.last_write(intent.handle)

    assert seen.presence is Presence.ABSENT
    assert last is not None and last - begun < timedelta(seconds=2)


async def test_a_token_that_works_on_is_present_with_its_end_until_it_is_refused(rig: GitHubRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = rig.ref(intent, issued)
    rig.github.lag_s = 25
    await rig.provider.destroy(ref)

    working = await rig.provider.observe(ref)
    rig.github.ahead_s = 26
    refused = await rig.provider.observe(ref)

    assert working.presence is Presence.PRESENT and working.lasting is not None
    ends_at = next(iter(rig.github.tokens.values())).ends_at
    assert abs(working.lasting.until.timestamp() - ends_at) <= 1
    assert refused.presence is Presence.ABSENT


async def test_a_revocation_that_lies_is_found_out_by_use(rig: GitHubRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    rig.github.trouble(Trouble.LIE, when=lambda asked: asked.method == "DELETE")

    await rig.provider.destroy(rig.ref(intent, issued))

    assert (await rig.provider.observe(rig.ref(intent, issued))).presence is Presence.PRESENT


async def test_a_token_that_nobody_holds_is_waited_out(rig: GitHubRig) -> None:
    intent = rig.intent()
    rig.github.trouble(Trouble.LOST)

    with pytest.raises(TargetError) as caught:
        await rig.provider.issue(intent)
    seen = await rig.provider.observe(Ref(intent.handle, None, intent.expires_at, intent.issue_by))

    assert caught.value.sent and len(rig.github.tokens) == 1
    assert await rig.provider.locate(intent.handle) is None
    assert seen.presence is Presence.UNKNOWN and seen.lasting is not None
    assert seen.lasting.until == intent.issue_by + TOKEN_LIFE
    assert seen.lasting.until.timestamp() >= next(iter(rig.github.tokens.values())).ends_at


async def test_a_request_that_arrives_late_is_refused_by_githubs_clock(rig: GitHubRig) -> None:
    rig.github.ahead_s = 4  # as if it had been held on the way for longer than the fence

    with pytest.raises(TargetError, match="admin_login_refused"):
        await rig.provider.issue(rig.intent())

    assert not rig.github.tokens


async def test_a_throttled_revocation_is_an_error_and_not_an_absence(rig: GitHubRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    rig.github.trouble(Trouble.THROTTLED, times=2)

    with pytest.raises(TargetError):
        await rig.provider.destroy(rig.ref(intent, issued))
    with pytest.raises(TargetError):
        await rig.provider.observe(rig.ref(intent, issued))

    assert await rig.can_log_in(issued)


async def test_more_than_was_asked_for_is_given_back_at_once(rig: GitHubRig) -> None:
    rig.github.widens = True

    with pytest.raises(TargetError, match="too_broad"):
        await rig.provider.issue(rig.intent())

    assert not await rig.survivors("")


async def test_what_the_installation_does_not_hold_is_refused_with_nothing_done(rig: GitHubRig) -> None:
    wish: dict[str, object] = {"repositories": ["shop"], "permissions": {"actions": "write"}}

    with pytest.raises(TargetError) as caught:
        await rig.provider.issue(rig.intent(wish))

    assert (caught.value.code, caught.value.sent) == ("target_refused", False)


async def test_a_session_longer_than_a_token_is_refused_not_cut_short(rig: GitHubRig) -> None:
    intent = replace(rig.intent(), expires_at=rig.clock.now() + timedelta(hours=2))

    with pytest.raises(TargetError, match="too_long"):
        await rig.provider.issue(intent)


async def test_preflight_mints_a_canary_and_sees_it_refused(rig: GitHubRig) -> None:
    checks = await rig.provider.preflight("sj_test_")

    assert checks and all(one.ok for one in checks), checks
    assert not await rig.survivors("")


@pytest.mark.parametrize(
    "template",
    [
        {},
        {"repositories": ["shop"]},
        {"permissions": {"contents": "read"}},
        {"repositories": [], "permissions": {"contents": "read"}},
        {"repositories": ["a/b"], "permissions": {"contents": "read"}},
        {"repositories": ["shop"], "permissions": {"contents": "admin"}},
        {"repositories": ["shop"], "permissions": {"con tents": "read"}},
        {"repositories": ["shop"], "permissions": {"contents": "read"}, "all": True},
    ],
)
async def test_a_template_that_is_not_narrow_is_refused(rig: GitHubRig, template: dict[str, object]) -> None:
    with pytest.raises(Invalid, match="bad_template"):
        rig.provider.check_template(template)


@pytest.mark.parametrize(
    "secret", ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
)
def test_a_secret_that_is_no_key_is_refused(secret: str) -> None:
    with pytest.raises(Invalid, match="bad_target") as caught:
        GitHubApp.configured({"app": APP, "installation": 1}, {}, Secret(secret), ShiftedClock())

    assert secret == "" or secret not in str(caught.value)
