"""The commands for people: what they send, what they show, and the codes they end with."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from sojourn.cli.exits import Exit
from sojourn.cli.main import dispatch
from tests.cli.command import Sojourn, read_pid
from tests.cli.control_plane import ControlPlane

DSN = "postgresql://admin:canary-dsn-81@127.0.0.1/shop"


def test_json_is_parseable_everywhere(
    sojourn: Sojourn, plane: ControlPlane, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOJOURN_PROFILE", sojourn.environ["SOJOURN_PROFILE"])
    sojourn("run", "--quiet", "--", "true")
    sid = plane.only()["id"]
    commands = [
        ["session", "ls"], ["session", "show", sid], ["session", "kill", sid], ["session", "suspend", sid],
        ["session", "narrow", sid, "--drop", "shop"], ["session", "resume", sid], ["target", "ls"],
        ["target", "preflight", "shop"], ["target", "preflight", "none"], ["target", "reconcile", "shop"],
        ["charter", "ls"], ["client", "ls"], ["evidence", sid], ["doctor"], ["verify", "/no/such/bundle"],
    ]  # fmt: skip

    for words in commands:
        code = dispatch([*words, "--json"])

        assert isinstance(json.loads(capsys.readouterr().out), dict), words
        assert code in set(Exit), words


def test_a_kill_waits_until_the_end_is_proven_and_says_so(
    sojourn: Sojourn, plane: ControlPlane, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    running = sojourn.start("run", "--quiet", "--", "sh", "-c", f"echo $$ > {ready}; sleep 300")
    read_pid(ready)

    done = sojourn("session", "kill", plane.only()["id"])

    assert done.returncode == 0
    assert "verified dead in 0 ms, 0 residual" in done.stdout
    assert running.wait(20) == 124


def test_a_running_session_is_resumed_and_completed_through_its_wrapper(
    sojourn: Sojourn, plane: ControlPlane, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    running = sojourn.start("run", "--quiet", "--", "sh", "-c", f"echo $$ > {ready}; sleep 300")
    read_pid(ready)

    done = sojourn("session", "complete", plane.only()["id"])

    assert done.returncode == 0, done.stderr
    assert plane.only()["cause"]["reason"] == "completed"
    assert running.wait(20) == 124


def test_a_preflight_that_found_something_says_what_mends_it(sojourn: Sojourn) -> None:
    good, bad = sojourn("target", "preflight", "shop"), sojourn("target", "preflight", "broken")

    assert (good.returncode, bad.returncode) == (0, 5)
    assert "mend: grant CREATEROLE" in bad.stdout


def test_a_dsn_comes_by_file_or_standard_input_and_is_never_shown(sojourn: Sojourn, tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text(DSN)
    file.chmod(0o600)

    by_file = sojourn("target", "add", "shop", "--secret-file", str(file))
    by_input = sojourn("target", "add", "shop", given=DSN + "\n")
    file.chmod(0o644)
    readable = sojourn("target", "add", "shop", "--secret-file", str(file))

    assert (by_file.returncode, by_input.returncode) == (0, 0), by_file.stderr
    assert readable.returncode == 1 and "chmod 600" in readable.stderr
    for done in (by_file, by_input, readable):
        assert "canary-dsn-81" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "name: a\nname: b\n",
        "name: a\ngrants: {x: 1, x: 2}\n",
        "a: &x 1\nb: *x\n",
        "- a\n",
        "a: [\n",
        "!!python/object/apply:os.system [id]\n",
    ],
)
def test_a_sloppy_charter_is_refused(sojourn: Sojourn, tmp_path: Path, text: str) -> None:
    file = tmp_path / "charter.yaml"
    file.write_text(text)

    done = sojourn("charter", "apply", str(file))

    assert done.returncode == 1
    assert "bad_document" in done.stderr and "Traceback" not in done.stderr


def test_a_charter_is_applied(sojourn: Sojourn, tmp_path: Path) -> None:
    file = tmp_path / "charter.yaml"
    file.write_text("name: demo\nowner: team\ngrants:\n  shop: {target: shop, template: ro}\n")

    assert sojourn("charter", "apply", str(file)).stdout == "charter demo@1 is new\n"


def test_a_login_makes_a_private_profile_and_pins_the_log(
    sojourn: Sojourn, plane: ControlPlane, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "operator.json"

    done = sojourn("login", f"{plane.issuer}/login#invitation-1", "--out", str(out))
    again = sojourn("login", f"{plane.issuer}/login#spent", "--out", str(tmp_path / "other.json"))

    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert json.loads(out.read_text())["log_vkey"] == "log+1+k"
    assert again.returncode == 10


def test_a_client_is_added_with_a_key_that_stays_here(
    sojourn: Sojourn, plane: ControlPlane, tmp_path: Path
) -> None:
    out = tmp_path / "ci.json"

    done = sojourn("client", "add", "ci", "--owner", "team", "--out", str(out))
    again = sojourn("client", "add", "ci", "--owner", "team", "--out", str(out))

    assert done.returncode == 0, done.stderr
    assert "d" not in plane.clients["cli_made"]["jwk"] and "d" in json.loads(out.read_text())["jwk"]
    assert again.returncode == 13


def test_an_open_profile_is_refused(sojourn: Sojourn) -> None:
    file = Path(sojourn.environ["SOJOURN_PROFILE"]) / "operator.json"
    file.chmod(0o640)

    assert "chmod 600" in sojourn("session", "ls").stderr
    assert sojourn("doctor").returncode == 5


def test_unknown_commands_and_flags_have_code_2(sojourn: Sojourn) -> None:
    assert sojourn("frob").returncode == 2
    assert sojourn("session", "ls", "--frob").returncode == 2


def test_a_server_that_is_away_has_code_11(sojourn: Sojourn, plane: ControlPlane) -> None:
    plane.close()

    assert sojourn("session", "ls").returncode == 11


def test_a_bundle_that_is_none_fails_by_name(sojourn: Sojourn, tmp_path: Path) -> None:
    file = tmp_path / "bundle"
    file.write_bytes(b"\xff\x00 no bundle")

    done = sojourn("verify", str(file))

    assert done.returncode == 4, done.stderr
    assert "failed" in done.stdout
