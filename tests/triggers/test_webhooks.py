"""What other systems send: signed or refused, terminal or nothing, hostile or not a traceback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.ending import Reason
from sojourn.core.errors import Invalid, SojournError, Unauthenticated
from sojourn.core.secret import Secret
from sojourn.ports.trigger import Delivery, PushTrigger, Signal
from sojourn.triggers.github_webhook import GithubWebhook
from sojourn.triggers.gitlab_webhook import GitlabWebhook
from sojourn.triggers.signed_webhook import SignedWebhook

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SECRET = Secret("a-secret-of-the-tests")
RUN = {
    "action": "completed",
    "repository": {"id": 42},
    "workflow_run": {"id": 7, "run_attempt": 2, "status": "completed", "conclusion": "success"},
}


def _mac(message: bytes) -> bytes:
    return hmac.new(SECRET.reveal().encode(), message, hashlib.sha256).digest()


def github(body: object, event: str = "workflow_run", *, signature: str | None = None) -> Delivery:
    raw = json.dumps(body).encode()
    signed = signature or f"sha256={_mac(raw).hex()}"
    return Delivery({"x-hub-signature-256": signed, "x-github-event": event}, raw, NOW)


def gitlab(body: object, *, token: str = SECRET.reveal()) -> Delivery:
    return Delivery({"x-gitlab-token": token}, json.dumps(body).encode(), NOW)


def signed(body: object, *, at: datetime = NOW, name: str = "msg_1") -> Delivery:
    raw, stamp = json.dumps(body).encode(), str(int(at.timestamp()))
    mac = base64.b64encode(_mac(f"{name}.{stamp}.".encode() + raw)).decode()
    headers = {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": f"v1,AAAA v1,{mac}"}
    return Delivery(headers, raw, NOW)


def heard(trigger: PushTrigger, delivery: Delivery) -> tuple[Signal, ...]:
    return trigger.parse(delivery, SECRET)


def test_a_run_that_is_over_is_named_by_repository_run_and_attempt() -> None:
    (signal,) = heard(GithubWebhook(), github(RUN))

    names = {"github.repository_id": "42", "github.run_id": "7", "github.run_attempt": "2"}
    assert signal.reason is Reason.JOB_FINISHED and signal.match == names


def test_a_job_that_is_over_is_named_by_its_check_run() -> None:
    job = {"action": "completed", "repository": {"id": 42}}
    body = {**job, "workflow_job": {"id": 99, "status": "completed", "conclusion": "failure"}}

    (signal,) = heard(GithubWebhook(), github(body, "workflow_job"))

    assert signal.match == {"github.repository_id": "42", "github.check_run_id": "99"}


@pytest.mark.parametrize(
    ("body", "event"),
    [
        ({**RUN, "action": "in_progress"}, "workflow_run"),
        ({**RUN, "action": "requested"}, "workflow_run"),
        (RUN, "check_run"),
        ({"state": "success"}, "status"),
        (RUN, "push"),
    ],
)
def test_news_that_is_no_end_ends_nothing(body: object, event: str) -> None:
    assert heard(GithubWebhook(), github(body, event)) == ()


@pytest.mark.parametrize("signature", ["", "sha256=00", "sha1=abc", "sha256=" + "0" * 64, "sha256=ä"])
def test_an_unsigned_delivery_is_refused_before_it_is_read(signature: str) -> None:
    with pytest.raises(Unauthenticated, match="bad_signature"):
        heard(GithubWebhook(), github(RUN, signature=signature or "="))


@pytest.mark.parametrize("status", ["success", "failed", "canceled", "skipped"])
def test_a_terminal_job_of_gitlab_is_named_by_project_and_job(status: str) -> None:
    body = {"object_kind": "build", "build_id": 5, "project_id": 3, "build_status": status}

    (signal,) = heard(GitlabWebhook(), gitlab(body))

    assert signal.match == {"gitlab.project_id": "3", "gitlab.job_id": "5"}


@pytest.mark.parametrize("status", ["created", "running", "manual", "canceling", "pending", None])
def test_a_job_of_gitlab_that_goes_on_ends_nothing(status: str | None) -> None:
    body = {"object_kind": "build", "build_id": 5, "project_id": 3, "build_status": status}

    assert heard(GitlabWebhook(), gitlab(body)) == ()


def test_a_pipeline_of_gitlab_is_named_by_project_and_pipeline() -> None:
    attributes = {"id": 8, "status": "failed"}
    body = {"object_kind": "pipeline", "object_attributes": attributes, "project": {"id": 3}}

    (signal,) = heard(GitlabWebhook(), gitlab(body))

    assert signal.match == {"gitlab.project_id": "3", "gitlab.pipeline_id": "8"}
    with pytest.raises(Unauthenticated, match="bad_signature"):
        heard(GitlabWebhook(), gitlab(body, token="another"))


def test_anybody_who_can_sign_names_facts_and_a_reason() -> None:
    body = {"reason": "job_finished", "match": {"ticket.id": "42"}, "detail": "closed"}

    (signal,) = heard(SignedWebhook(), signed(body))

    assert signal == Signal(Reason.JOB_FINISHED, {"ticket.id": "42"}, "closed")


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "killed", "match": {"a": "b"}},
        {"reason": "job_finished", "match": {}},
        {"reason": "job_finished"},
        {"reason": "job_finished", "match": {"a": 1}},
        {"reason": "job_finished", "match": {"a": "b"}, "more": 1},
        [],
        "text",
    ],
)
def test_a_signed_delivery_that_cannot_be_read_is_refused(body: object) -> None:
    with pytest.raises(Invalid, match="bad_delivery"):
        heard(SignedWebhook(), signed(body))


@pytest.mark.parametrize("off", [-301, 301, -86_400])
def test_an_old_or_future_timestamp_is_refused(off: int) -> None:
    body = {"reason": "job_finished", "match": {"a": "b"}}

    with pytest.raises(Unauthenticated, match="bad_signature"):
        heard(SignedWebhook(), signed(body, at=NOW + timedelta(seconds=off)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SHAPED = st.fixed_dictionaries(
    {"action": st.just("completed"), "repository": JSON, "workflow_run": JSON, "object_kind": JSON}
)


@given(JSON | SHAPED)
def test_whatever_is_signed_is_read_or_refused_in_our_words(body: object) -> None:
    for trigger, delivery in (
        (GithubWebhook(), github(body)),
        (GitlabWebhook(), gitlab(body)),
        (SignedWebhook(), signed(body)),
    ):
        try:
            heard(trigger, delivery)
        except SojournError as error:
            assert error.code in ("bad_delivery", "bad_signature")  # noqa: PT017
