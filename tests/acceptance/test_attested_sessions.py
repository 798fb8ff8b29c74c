"""Sessions of workloads without a key: opened, kept and ended by what their platforms say."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from itertools import pairwise
from typing import Final
from urllib.request import urlopen

import pytest

from sojourn.client.aio import open as open_here
from sojourn.client.beat import BeatThread
from sojourn.client.evidence import HeldSource, Workload
from sojourn.client.jsonfacts import member, text
from sojourn.client.session import LiveSession, Wish, open_session
from sojourn.core.errors import Conflict, Refused, SojournError, Unauthenticated, Unavailable
from tests.acceptance.attested import Fixed, opened, refusal
from tests.acceptance.login import lets_in
from tests.acceptance.shell import shell
from tests.rig.issuers.github import Job
from tests.rig.issuers.platforms import NAMES, SVID_PATH, Platforms
from tests.rig.poll import until
from tests.rig.system import DATABASE_GRANT, System

EVERY_S: Final = 1.0
MISSED_AFTER_S: Final = 3.0


@pytest.fixture(scope="module")
def system(attested: System) -> System:
    """A system that knows every platform."""
    return attested


def cause(system: System, live: LiveSession) -> tuple[str, str]:
    """Reason and detail of its end, once nothing is left of it."""
    view = system.look(live.id, until_ended_s=20)
    assert view.state == "ended", view.raw
    found = member(view.raw, "cause")
    return text(found, "reason"), text(found, "detail")


class Beating:
    """Beats as `sojourn run` does, and notes when it heard of the end."""

    def __init__(self, live: LiveSession) -> None:
        self.reason: str | None = None
        self.over_at = 0.0
        self._thread = BeatThread(live, self._on_end)
        self._thread.start()

    def _on_end(self, reason: str) -> None:
        self.over_at, self.reason = time.monotonic(), reason

    def stop(self) -> None:
        self._thread.stop()


@pytest.mark.parametrize("name", NAMES)
def test_a_workload_without_a_key_opens_beats_and_completes(
    system: System, platforms: Platforms, name: str
) -> None:
    live = opened(system, platforms.any_workload(system, name))
    view = live.beat()

    assert view.state == "active" and lets_in(live.credentials[0])
    assert view.raw["attestor"] != "private_key_jwt"
    live.complete()
    assert cause(system, live)[0] == "completed"
    assert not lets_in(live.credentials[0])


@pytest.mark.paced
def test_a_finished_job_ends_its_session_within_one_beat(system: System, platforms: Platforms) -> None:
    job, workload = platforms.job(system)
    live = opened(system, workload)
    beating = Beating(live)

    job.finished = True
    finished_at = time.monotonic()
    until(lambda: beating.reason is not None, within_s=10)

    assert beating.over_at - finished_at <= EVERY_S + 1.0
    assert cause(system, live)[0] == "job_finished"
    assert not lets_in(live.credentials[0])


@pytest.mark.paced
@pytest.mark.parametrize("how", ["deleted", "Succeeded"])
def test_a_pod_that_is_gone_ends_its_session_within_one_beat(
    system: System, platforms: Platforms, how: str
) -> None:
    pod, workload = platforms.run_pod(system)
    live = opened(system, workload)
    beating = Beating(live)

    if how == "deleted":
        pod.deleted = True
    else:
        pod.phase = how
    gone_at = time.monotonic()
    until(lambda: beating.reason is not None, within_s=10)

    assert beating.over_at - gone_at <= EVERY_S + 1.0
    assert cause(system, live)[0] == "job_finished"
    assert not lets_in(live.credentials[0])


def test_a_job_that_gitlab_calls_done_ends_its_session(system: System, platforms: Platforms) -> None:
    job, workload = platforms.gitlab_job(system)
    live = opened(system, workload)
    live.beat()
    job.status = "success"

    with pytest.raises(Refused) as ending:
        live.beat()

    assert ending.value.code == "job_finished"
    assert cause(system, live) == ("job_finished", "the job is `success`")


def test_a_changed_image_ends_the_session_and_is_named(system: System, platforms: Platforms) -> None:
    pod, workload = platforms.run_pod(system)
    live = opened(system, workload)
    live.beat()
    was, pod.image = pod.image, "registry.example/other@sha256:" + "2" * 64

    with pytest.raises(Refused):
        live.beat()

    reason, detail = cause(system, live)
    assert reason == "context_changed"
    assert "kubernetes.image" in detail and was[:40] in detail
    assert not lets_in(live.credentials[0])


def test_a_changed_commit_ends_the_session_and_is_named(system: System, platforms: Platforms) -> None:
    job, workload = platforms.job(system)
    live = opened(system, workload)
    was, job.sha = job.sha, "f" * 40

    with pytest.raises(Refused) as ending:
        live.beat()

    assert ending.value.code == "context_changed"
    reason, detail = cause(system, live)
    assert reason == "context_changed" and f"`github.sha` was `{was}`" in detail


@pytest.mark.paced
def test_a_changed_image_or_commit_ends_its_session_within_one_beat(
    system: System, platforms: Platforms
) -> None:
    pod, in_pod = platforms.run_pod(system)
    job, in_job = platforms.job(system)
    lives = [opened(system, in_pod), opened(system, in_job)]
    beating = [Beating(live) for live in lives]

    pod.image, job.sha = "registry.example/other@sha256:" + "3" * 64, "e" * 40
    changed_at = time.monotonic()
    until(lambda: all(one.reason is not None for one in beating), within_s=10)

    assert max(one.over_at for one in beating) - changed_at <= EVERY_S + 1.0
    assert [cause(system, live)[0] for live in lives] == ["context_changed"] * 2
    assert not any(lets_in(live.credentials[0]) for live in lives)


def test_another_run_of_the_same_job_is_another_identity(system: System, platforms: Platforms) -> None:
    job, workload = platforms.job(system)
    live = opened(system, workload)
    job.run_attempt = "2"

    with pytest.raises(Refused):
        live.beat()

    assert "github.run_attempt" in cause(system, live)[1]


def test_evidence_of_another_kind_or_client_is_no_beat_and_ends_nothing(
    system: System, platforms: Platforms
) -> None:
    _, github = platforms.job(system)
    _, pod = platforms.run_pod(system)
    fixed = Fixed(github.source)
    live = opened(system, replace(github, source=fixed))
    for shown in (
        pod.source.gather(),
        {**github.source.gather(), "client": "gl"},
        {**fixed.shown, "assertion": "x"},
    ):
        fixed.shown = dict(shown)
        with pytest.raises(Unauthenticated):
            live.beat()

    assert system.look(live.id).state == "active"
    fixed.shown = dict(github.source.gather())
    assert live.beat().state == "active"
    live.complete()


def test_silence_and_beats_without_evidence_end_the_session(system: System, platforms: Platforms) -> None:
    _, workload = platforms.job(system)
    live = opened(system, workload, "impatient")
    path = f"/v1/sessions/{live.id}/beat"

    def bare() -> bool:
        with pytest.raises((Unauthenticated, Refused)) as refused:
            live._caller.ask("POST", path, {})
        return refused.value.code == "session_ended"

    until(bare, within_s=MISSED_AFTER_S + 5)

    assert cause(system, live)[0] == "missed_beat"


def test_a_pinned_fact_suspends_where_the_charter_says_so_and_resumes_when_it_is_back(
    system: System, platforms: Platforms
) -> None:
    job, workload = platforms.gitlab_job(system)
    fixed = Fixed(workload.source)
    live = opened(system, replace(workload, source=fixed), "pinned")
    job.more = {"runner_id": 13}
    fixed.shown = dict(platforms.gitlab_workload(system, job).source.gather())

    assert live.beat().state == "suspended"
    assert "gitlab.runner_id" in text(member(system.look(live.id).raw, "cause"), "detail")
    until(lambda: not lets_in(live.credentials[0]))

    def refused() -> bool:
        with pytest.raises(SojournError) as found:
            live.resume()
        return found.value.code == "context_changed"

    assert refused()
    fixed.shown = dict(workload.source.gather())
    until(lambda: _resumed(live))
    assert lets_in(live.credentials[0])
    live.complete()


def _resumed(live: LiveSession) -> bool:
    try:
        live.resume()
    except Conflict:  # the suspension is still being carried out
        return False
    return True


def test_the_word_of_an_outsider_is_not_context(system: System, platforms: Platforms) -> None:
    wish = Wish("demo", "1", [DATABASE_GRANT], context={"github.run_id": "1"})

    with pytest.raises(SojournError) as refused:
        open_session(system.workload, wish, transport=system.transport)

    assert refused.value.code == "attested_name"


def test_while_an_issuer_is_down_nothing_opens_and_live_sessions_live_and_end(
    system: System, platforms: Platforms
) -> None:
    _, svid = platforms.workload(system)
    lenient = opened(system, svid, "lenient")
    platforms.spire.down = True
    platforms.spire.rotate()
    stranger = Workload(
        system.issuer, HeldSource("spiffe", platforms.spire.svid(SVID_PATH, system.issuer), "svid")
    )
    try:
        for _ in range(20):
            assert refusal(system, stranger, "lenient").code in ("bad_evidence", "issuer_unavailable")
        assert lenient.beat().state == "active"
        system.end(lenient.id)
        assert system.look(lenient.id, until_ended_s=20).state == "ended"
        assert not lets_in(lenient.credentials[0])
    finally:
        platforms.spire.down = False
    asked = platforms.spire.server.seen_at["/bundle"]
    assert all(later - earlier >= 9.9 for earlier, later in pairwise(asked))


def test_a_platform_that_is_down_ends_nothing_by_itself(system: System, platforms: Platforms) -> None:
    _, workload = platforms.run_pod(system)
    live = opened(system, workload)
    platforms.cluster.down = True
    try:
        with pytest.raises(Unavailable):
            live.beat()
        assert system.look(live.id).state == "active"
    finally:
        platforms.cluster.down = False
    assert live.beat().state == "active"
    live.complete()


def test_the_evidence_of_an_attested_session_verifies_offline(system: System, platforms: Platforms) -> None:
    _, workload = platforms.job(system, Job(more={"brand_new": "x"}))
    live = opened(system, workload)
    live.complete()
    assert system.look(live.id, until_ended_s=20).state == "ended"

    with shell(system) as command:
        bundle = system.place / "attested.bundle"
        assert command("evidence", live.id, "--out", str(bundle)).returncode == 0
        done = command("verify", str(bundle), "--no-pinned", "--json")

    written = bundle.read_text()
    assert json.loads(done.stdout)["failed"] is None, done.stdout
    assert "unknown_claims" in written and "brand_new" in written and "github.run_id" in written


def test_a_program_needs_no_profile_either(
    system: System, platforms: Platforms, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = platforms.github.start()
    for name, value in platforms.github.environment_of(job).items():
        monkeypatch.setenv(name, value)

    async def work() -> str:
        async with open_here("deploy:program", server=system.issuer, client="gh") as live:
            assert await asyncio.to_thread(lets_in, live.credentials[0])
            return live.id

    ended = system.look(asyncio.run(work()), until_ended_s=20)

    assert ended.state == "ended" and ended.reason == "completed"
    assert member(ended.raw, "context")["github.run_id"] == job.run_id


def test_an_unknown_claim_is_counted_by_number_alone(system: System, platforms: Platforms) -> None:
    before = _counted(system)
    _, workload = platforms.job(system, Job(more={"brand_new": "x", "another": 7}))

    opened(system, workload).complete()

    assert _counted(system) - before == 2


def _counted(system: System) -> float:
    with urlopen(f"http://127.0.0.1:{system.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert "brand_new" not in text
    (line,) = [one for one in text.splitlines() if one.startswith("sojourn_unknown_claims_total ")]
    return float(line.split()[1])
