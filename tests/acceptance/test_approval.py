"""A session that waits for a person: shown, approved, and only then with credentials."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sojourn.cli.exits import Exit
from sojourn.cli.table import run_table
from sojourn.client.jsonfacts import Json, members, parse_object, text
from sojourn.client.profile import Profile, save_profile
from sojourn.client.signing import Es256Key
from sojourn.core.errors import SojournError, Unavailable
from tests.rig.chat import Chat, running_chat
from tests.rig.poll import until
from tests.rig.postgres import PostgresServer
from tests.rig.system import Plan, System, running

RULE = {"approvals": 1, "approvers": ["bea"], "answer_within": "5m", "valid_for": "2m"}
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chat]:
    """A chat tool that was told where to hear, and by which secret."""
    with running_chat(Path(tmp_path_factory.mktemp("chat"))) as made:
        yield made


@pytest.fixture(scope="module")
def system(postgres: PostgresServer, chat: Chat) -> Iterator[System]:
    """A control plane whose charter asks one person."""
    with running(postgres, Plan(tables=chat.tables)) as system:
        system.apply_charter(approval=RULE)
        yield system


def _bea(system: System) -> Profile:
    key = Es256Key.generate()
    body = {"name": "bea", "role": "operator", "owner": "security", "jwk": dict(key.public_jwk)}
    answer = system.operator.ask("POST", "/v1/clients", body).json()
    return Profile(system.issuer, text(answer, "id"), "bea", "operator", key)


def _asked(system: System) -> Json | None:
    found = members(system.operator.ask("GET", "/v1/approvals").json(), "approvals")
    return found[0] if found else None


def test_a_session_waits_for_its_approver_and_nobody_else(system: System) -> None:
    bea = system.caller(_bea(system))
    with ThreadPoolExecutor() as pool:
        opening = pool.submit(system.open, "approved")
        task = until(lambda: _asked(system), within_s=10)
        assert task is not None and not system.roles()
        body = {"answer": "approve", "hash": text(task, "hash")}
        path = f"/v1/approvals/{task['id']}"
        with pytest.raises(SojournError, match="not_an_approver|own_request"):
            system.operator.ask("POST", path, body)
        with pytest.raises(SojournError, match="approval_changed"):
            bea.ask("POST", path, {**body, "hash": "0" * 64})
        answered = bea.ask("POST", path, body).json()
        live = opening.result(timeout=20)

    assert answered["status"] == "approved" and live.live and len(system.roles()) == 1

    bea.ask("POST", f"{path}/withdraw", {})

    assert system.look(live.id, until_ended_s=20).reason == "approval_withdrawn"


def test_a_no_tells_the_workload_that_it_ended(system: System) -> None:
    bea = system.caller(_bea_again(system))
    with ThreadPoolExecutor() as pool:
        opening = pool.submit(system.open, "denied")
        task = until(lambda: _asked(system), within_s=10)
        assert task is not None
        bea.ask("POST", f"/v1/approvals/{task['id']}", {"answer": "deny", "hash": text(task, "hash")})
        with pytest.raises(SojournError, match="session_ended"):
            opening.result(timeout=20)


def _bea_again(system: System) -> Profile:
    """Another Bea, after the first one left."""
    found = members(system.operator.ask("GET", "/v1/clients").json(), "clients")
    for one in found:
        if one["name"] == "bea" and one["removed_at"] is None:
            system.operator.ask("DELETE", f"/v1/clients/{one['id']}")
    return _bea(system)


def test_a_request_reaches_the_chat_across_a_crash_and_the_answer_from_there_counts_once(
    system: System, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    place = system.profile_path("bea")
    save_profile(place, _bea_again(system))

    def hook(*words: str) -> Json:
        assert run_table(["hook", *words, "--profile", str(place), "--json"]) == Exit.OK
        return parse_object(capsys.readouterr().out)

    added = hook("add", "chat", "--url", chat.url, "--answers")
    chat.secret, url = text(added, "secret"), text(added, "answer_at")
    hook("link", "chat", "U-bea")
    hook("add", "inside", "--url", "https://127.0.0.2/in", "--event", "session.ended")
    chat.status = 503
    with ThreadPoolExecutor() as pool:
        opening = pool.submit(system.open, "chat")
        until(lambda: chat.tries, within_s=20)
        system.kill()
        with pytest.raises(Unavailable):  # who waited is told, and may ask again
            opening.result(timeout=20)
        system.start()
    chat.status = 204
    until(lambda: chat.of("approval.requested"), within_s=20)
    (asked,) = chat.of("approval.requested")
    strange = chat.answer(url, asked, "U-ada", "approve")
    forged = chat.answer(url, {**asked, "hash": "0" * 64}, "U-bea", "approve")
    taken = chat.answer(url, asked, "U-bea", "approve", name="once")
    again = chat.answer(url, asked, "U-bea", "deny", name="once")

    assert (strange[1]["code"], forged[1]["code"]) == ("unlinked_person", "approval_changed")
    assert taken == (200, {"approval": asked["approval"], "status": "approved"})
    assert again[1]["code"] in ("replayed", "wrong_state")
    session = text(asked, "session")
    assert system.look(session).state == "approved"
    system.end(session)
    until(lambda: [one for one in chat.of("session.ended") if one["session"] == session], within_s=20)
    assert chat.unsigned == 0
    hooks = {one["name"]: one for one in members(hook("ls"), "hooks")}
    assert "private network" in str(hooks["inside"]["told"]), "a host that the file does not name"
    hook("unlink", "chat", "U-bea")
    assert hook("rm", "chat")["people"] == []
