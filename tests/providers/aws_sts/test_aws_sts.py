"""Temporary keys of a simulated AWS, by AWS's own client: the suite, and a denial that spreads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.ports.provider import Intent, Issued, Lasting, Presence, Ref
from sojourn.providers.aws_sts import AwsSts
from sojourn.providers.aws_sts.config import LONGEST_POLICY, admin_keys
from sojourn.providers.aws_sts.wire import Service
from sojourn.testing.provider_conformance import NAMELESS_SUITE, Rig
from tests.providers.http_rig import ShiftedClock, at_work, fresh_intent
from tests.rig.aws import ADMIN_KEY, LARGEST_POLICIES, ROLE_ARN, ROLE_ID, Aws, action_of
from tests.rig.http_simulator import Trouble

pytestmark = pytest.mark.anyio
ADMIN = Secret(json.dumps({"access_key_id": ADMIN_KEY, "secret_access_key": "secret-of-the-tests"}))
READER: dict[str, object] = {
    "statements": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shop/*"}]
}
SPREADS_S = 1.0


@dataclass
class AwsRig:
    """A workload that uses its keys by boto3, and a look into the account."""

    aws: Aws
    provider: AwsSts
    clock: ShiftedClock

    def intent(self) -> Intent:
        return fresh_intent(self.clock, READER, life=timedelta(minutes=30))

    async def can_log_in(self, issued: Issued) -> bool:
        keys = admin_keys(issued.secret)
        service = Service(self.provider._sts.place, keys)
        try:
            await service.call("get_access_key_info", AccessKeyId=keys.access_key_id)
        except TargetError:
            return False
        finally:
            service.close()
        return True

    def at_work(self, issued: Issued, *, tasks: int, every: float) -> AbstractAsyncContextManager[None]:
        return at_work(self.can_log_in, issued, tasks=tasks, every=every)

    async def writes(self, handle: str) -> int:
        return sum(len(one.used_at) for one in self.aws.sessions.values())

    async def last_write(self, handle: str) -> datetime | None:
        uses = [at for one in self.aws.sessions.values() for at in one.used_at]
        return datetime.fromtimestamp(max(uses), UTC) if uses else None

    async def target_now(self) -> datetime:
        return datetime.fromtimestamp(self.aws.now(), UTC)

    async def survivors(self, target_id: str) -> int:
        now = self.aws.now()
        living = [one for one in self.aws.sessions.values() if one.user_id == target_id and now < one.ends_at]
        return sum(1 for one in living if not self.aws.denies(one))

    def ref(self, intent: Intent, issued: Issued) -> Ref:
        return Ref(intent.handle, issued.target_id, intent.expires_at, kept=issued.keep)

    def later(self, seconds: float) -> None:
        self.aws.ahead_s += seconds
        self.clock.ahead_s += seconds


def provider_of(aws: Aws, clock: ShiftedClock, *, spreads_s: float) -> AwsSts:
    settings = {
        "role_arn": ROLE_ARN,
        "sts_endpoint": aws.base,
        "iam_endpoint": aws.base,
        "propagation_seconds": spreads_s,
    }
    return AwsSts.configured(settings, {"reader": READER}, ADMIN, clock)


@asynccontextmanager
async def opened() -> AsyncIterator[AwsRig]:
    clock = ShiftedClock()
    with Aws() as aws:
        provider = provider_of(aws, clock, spreads_s=SPREADS_S)
        yield AwsRig(aws, provider, clock)
        await provider.close()


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsRig]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with opened() as one:
        yield one


@pytest.mark.parametrize("promise", NAMELESS_SUITE, ids=lambda one: one.__name__)
async def test_temporary_keys_keep_the_contract(
    rig: AwsRig, promise: Callable[[Rig], Awaitable[None]]
) -> None:
    await promise(rig)


async def test_a_denial_that_takes_seconds_is_seen_through_step_by_step(rig: AwsRig) -> None:
    """Never called gone while it works, nor before the denial had its time to spread."""
    provider = provider_of(rig.aws, rig.clock, spreads_s=60)
    intent = rig.intent()
    issued = await provider.issue(intent)
    ref = rig.ref(intent, issued)
    rig.aws.lag_s = 25
    await provider.destroy(ref)

    at_once = await provider.observe(ref)
    rig.later(26)
    refused = await provider.observe(ref)
    rig.later(35)
    spread = await provider.observe(ref)
    await provider.close()

    assert at_once.presence is Presence.PRESENT and at_once.lasting is not None
    assert at_once.lasting.until >= intent.expires_at
    assert refused.presence is Presence.LINGERING and refused.lasting is not None
    assert refused.lasting.place == "AWS services that have not heard of the denial"
    assert spread.presence is Presence.ABSENT and "3 uses" in spread.method


async def test_a_denial_that_was_answered_and_not_made_is_made_again(rig: AwsRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = rig.ref(intent, issued)
    rig.aws.lie_about("PutRolePolicy")
    await rig.provider.destroy(ref)
    assert not rig.aws.stored()

    rig.later(SPREADS_S)
    lied = await rig.provider.observe(ref)
    await rig.provider.destroy(ref)
    rig.later(SPREADS_S)
    made = await rig.provider.observe(ref)

    assert (lied.presence, made.presence) == (Presence.PRESENT, Presence.ABSENT)


async def test_only_the_one_role_session_is_denied(rig: AwsRig) -> None:
    first, second = rig.intent(), rig.intent()
    doomed, kept = await rig.provider.issue(first), await rig.provider.issue(second)

    await rig.provider.destroy(rig.ref(first, doomed))

    assert not await rig.can_log_in(doomed)
    assert await rig.can_log_in(kept)


async def test_many_denials_share_a_policy_and_it_goes_when_all_have_expired(rig: AwsRig) -> None:
    for _ in range(20):
        intent = rig.intent()
        await rig.provider.destroy(rig.ref(intent, await rig.provider.issue(intent)))
    assert len(rig.aws.stored()) <= 2

    rig.later(3 * 3600)
    intent = rig.intent()
    await rig.provider.destroy(rig.ref(intent, await rig.provider.issue(intent)))

    assert len(rig.aws.stored()) == 1
    document = next(iter(rig.aws.stored().values()))
    assert intent.handle in document and document.count(ROLE_ID) == 1


async def test_a_full_role_keeps_its_keys_until_they_expire_and_says_so(rig: AwsRig) -> None:
    intent = rig.intent()
    issued = await rig.provider.issue(intent)
    ref = rig.ref(intent, issued)
    await rig.provider._iam.call(
        "put_role_policy",
        RoleName="worker",
        PolicyName="theirs",
        PolicyDocument=json.dumps({"Statement": [], "x": "y" * (LARGEST_POLICIES - 50)}),
    )

    with pytest.raises(TargetError, match="policy_full"):
        await rig.provider.destroy(ref)
    seen = await rig.provider.observe(ref)
    rig.later(31 * 60)
    over = await rig.provider.observe(ref)

    assert seen.presence is Presence.PRESENT and seen.lasting is not None
    assert over.presence is Presence.ABSENT and "expired" in over.method
    assert "theirs" in rig.aws.stored()


async def test_two_processes_do_not_overwrite_each_others_denials(rig: AwsRig) -> None:
    other = provider_of(rig.aws, rig.clock, spreads_s=SPREADS_S)
    first, second = rig.intent(), rig.intent()
    one, two = await rig.provider.issue(first), await other.issue(second)

    await rig.provider.destroy(rig.ref(first, one))
    await other.destroy(rig.ref(second, two))
    await other.close()

    assert not await rig.can_log_in(one)
    assert not await rig.can_log_in(two)


@pytest.mark.parametrize(
    ("trouble", "code", "sent"),
    [
        (Trouble.THROTTLED, "target_busy", False),
        (Trouble.BROKEN, "target_failed", True),
        (Trouble.LOST, "target_unreachable", True),
        (Trouble.HUNG, "target_timeout", True),
    ],
)
async def test_a_failed_issue_is_sent_once_and_its_keys_are_waited_out(
    rig: AwsRig, trouble: Trouble, code: str, sent: bool
) -> None:
    rig.provider._sts.read_seconds = 0.5
    rig.aws.trouble(trouble, when=lambda asked: action_of(asked) == "AssumeRole")
    intent = rig.intent()

    with pytest.raises(TargetError) as caught:
        await rig.provider.issue(intent)
    located = await rig.provider.locate(intent.handle)
    ref = Ref(intent.handle, located, intent.expires_at, intent.issue_by)
    await rig.provider.destroy(ref)
    seen = await rig.provider.observe(ref)

    assert (caught.value.code, caught.value.sent) == (code, sent)
    assert sum(1 for asked in rig.aws.asked if action_of(asked) == "AssumeRole") == 1
    assert all(rig.aws.denies(one) for one in rig.aws.sessions.values())
    assert seen.presence is Presence.UNKNOWN
    assert seen.lasting == Lasting(
        "AWS, for keys whose answer was lost", intent.expires_at + timedelta(minutes=5)
    )


@pytest.mark.parametrize(("minutes", "code"), [(14, "too_short"), (13 * 60, "too_long")])
async def test_a_life_that_aws_does_not_give_is_refused_not_rounded(
    rig: AwsRig, minutes: int, code: str
) -> None:
    intent = replace(rig.intent(), expires_at=rig.clock.now() + timedelta(minutes=minutes))

    with pytest.raises(TargetError, match=code) as caught:
        await rig.provider.issue(intent)

    assert not caught.value.sent and not rig.aws.asked


async def test_a_session_never_leads_into_another_role(rig: AwsRig) -> None:
    await rig.provider.issue(rig.intent())

    sent = rig.aws.asked[-1].body.decode()

    assert "sts%3AAssumeRole" in sent and "Deny" in sent
    assert next(iter(rig.aws.sessions.values())).source_identity.startswith("sj_test_")


async def test_preflight_denies_a_canary_and_sees_it_refused(rig: AwsRig) -> None:
    checks = await rig.provider.preflight("sj_test_")

    assert checks and all(one.ok for one in checks), checks


@pytest.mark.parametrize(
    "template",
    [
        {},
        {"statements": []},
        {"policy_arns": ["ReadOnly"]},
        {"statements": [{"Effect": "Maybe"}]},
        {"statements": [{"Effect": "Allow", "Action": "x" * LONGEST_POLICY, "Resource": "*"}]},
        {"statements": [{"Effect": "Allow", "Action": "*", "Principal": "*"}]},
        {"policy_arns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"], "duration": 1},
    ],
)
def test_a_template_that_narrows_nothing_is_refused(template: dict[str, object]) -> None:
    provider = AwsSts.configured({"role_arn": ROLE_ARN}, {}, ADMIN, ShiftedClock())

    with pytest.raises(Invalid, match="bad_template"):
        provider.check_template(template)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"role_arn": "worker"},
        {"role_arn": ROLE_ARN, "region": "mars"},
        {"role_arn": ROLE_ARN, "sts_endpoint": "http://sts.example.test"},
        {"role_arn": ROLE_ARN, "propagation_seconds": 0},
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(Invalid, match="bad_target"):
        AwsSts.configured(settings, {}, ADMIN, ShiftedClock())


async def test_standing_keys_are_those_that_work_whoever_forgot_them(rig: AwsRig) -> None:
    rig.aws.access_keys = {
        "ci": {"AKIAUSEDUSEDUSEDUSED": "Active", "AKIAOLDOLDOLDOLDOLD1": "Inactive"},
        "nobody": {"AKIANEVERNEVERNEVER1": "Active"},
        "without": {},
    }

    found = {one.name: one for one in await rig.provider.standing("sj_")}

    assert set(found) == {"ci/AKIAUSEDUSEDUSEDUSED", "nobody/AKIANEVERNEVERNEVER1"}
    used, never = found["ci/AKIAUSEDUSEDUSEDUSED"], found["nobody/AKIANEVERNEVERNEVER1"]
    assert used.last_used_at == datetime(2026, 11, 1, tzinfo=UTC) and never.last_used_at is None
    assert used.kind == "aws_access_key" and used.place == "aws://123456789012"


async def test_a_throttled_look_for_standing_keys_is_an_error_and_not_a_clean_bill(rig: AwsRig) -> None:
    rig.aws.access_keys = {"ci": {"AKIAUSEDUSEDUSEDUSED": "Active"}}
    rig.aws.trouble(Trouble.THROTTLED, when=lambda asked: action_of(asked) == "GetAccessKeyLastUsed")

    with pytest.raises(TargetError, match="target_busy"):
        await rig.provider.standing("sj_")
