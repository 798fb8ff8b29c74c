"""`sojourn verify` on bundles that a real system signed: who signed decides the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.shell import shell
from tests.cli.command import Sojourn
from tests.rig.postgres import PostgresServer
from tests.rig.system import System, running


@pytest.fixture(scope="module")
def system(postgres: PostgresServer) -> Iterator[System]:
    with running(postgres) as system:
        yield system


@pytest.fixture(scope="module")
def sojourn(system: System) -> Iterator[Sojourn]:
    with shell(system) as command:
        yield command


@pytest.fixture(scope="module")
def bundle(system: System, sojourn: Sojourn) -> Path:
    """The bundle of a session that was opened, killed and destroyed."""
    live = system.open()
    system.end(live.id)
    assert system.look(live.id, until_ended_s=20).state == "ended"
    path = system.place / "ended.bundle"
    assert sojourn("evidence", live.id, "--out", str(path)).returncode == 0
    return path


def key_of(bundle: Path) -> str:
    """The key that the bundle says it was signed by."""
    content = json.loads(bundle.read_text().splitlines()[1])
    return str(content["vkey"])


def test_a_key_that_is_given_verifies(sojourn: Sojourn, bundle: Path) -> None:
    done = sojourn("verify", str(bundle), "--key", key_of(bundle), "--json")

    verdict = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert (verdict["result"], verdict["failed"], verdict["ended"]) == ("verified", None, True)
    assert [check["number"] for check in verdict["checks"]] == list(range(1, len(verdict["checks"]) + 1))


def test_without_a_key_the_signer_is_unknown(sojourn: Sojourn, bundle: Path) -> None:
    done = sojourn("verify", str(bundle), "--no-pinned")

    assert done.returncode == 3, done.stdout


def test_another_key_does_not_verify(sojourn: Sojourn, bundle: Path) -> None:
    name, _, _ = key_of(bundle).partition("+")
    other = f"{name}+" + "00000000+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

    done = sojourn("verify", str(bundle), "--key", other)

    assert done.returncode in (2, 4), done.stdout


@pytest.mark.parametrize("where", ["head", "facts", "proofs", "checkpoint", "credentials", "signature"])
def test_a_flipped_bit_is_a_named_failure(sojourn: Sojourn, bundle: Path, tmp_path: Path, where: str) -> None:
    raw = bytearray(bundle.read_bytes())
    places = {"head": 3, "signature": len(raw) - 20}
    at = places[where] if where in places else raw.index(f'"{where}"'.encode()) + len(where) + 12
    raw[at] ^= 1
    forged = tmp_path / "forged"
    forged.write_bytes(bytes(raw))

    done = sojourn("verify", str(forged), "--key", key_of(bundle), "--json")

    assert done.returncode == 4, done.stdout
    assert json.loads(done.stdout)["failed"]


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_bundle_cut_short_fails(sojourn: Sojourn, bundle: Path, tmp_path: Path, keep: int) -> None:
    short = tmp_path / "short"
    short.write_bytes(bundle.read_bytes()[:keep])

    assert sojourn("verify", str(short), "--key", key_of(bundle)).returncode == 4


def test_what_cannot_be_read_is_an_error_and_no_verdict(sojourn: Sojourn, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        done = sojourn("verify", str(path))

        assert done.returncode not in (0, 3)
        assert "Traceback" not in done.stderr


def test_an_open_session_is_genuine_and_not_over(system: System, sojourn: Sojourn, tmp_path: Path) -> None:
    live = system.open()
    path = tmp_path / "open.bundle"
    sojourn("evidence", live.id, "--out", str(path))

    done = sojourn("verify", str(path), "--key", key_of(path))
    system.end(live.id)

    assert done.returncode == 6, done.stdout
    assert "session still open" in done.stdout and done.stdout.endswith("verified\n")
