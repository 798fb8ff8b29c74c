"""Our own client shows a certificate over TLS: in a program, under `sojourn run`, renewed on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from sojourn.client.evidence import workload_here
from sojourn.client.jsonfacts import member, text
from sojourn.client.session import Wish, open_session
from sojourn.core.errors import Invalid, SojournError, Unavailable
from tests.acceptance.login import lets_in
from tests.acceptance.mtls_town import Town
from tests.acceptance.shell import shell
from tests.cli.command import Sojourn
from tests.rig.certificates import Pair, make
from tests.rig.system import DATABASE_GRANT, OWNER, TARGET

NAME = "certified"
GRANTS = {DATABASE_GRANT: {"target": TARGET, "template": "readonly"}}


def put(folder: Path, shown: Pair, town: Town) -> Path:
    """The folder as an agent keeps it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, source in (("tls.key", shown.key_pem), ("tls.crt", shown.pem), ("ca.crt", town.server.pem)):
        draft = folder / f".{name}"
        shutil.copyfile(source, draft)
        draft.chmod(0o600)
        draft.rename(folder / name)
    return folder


@pytest.fixture(scope="module")
def sojourn(mtls: Town) -> Iterator[Sojourn]:
    """The command, trusting the server; and a client that it registers by a subject."""
    with shell(mtls.system) as command:
        command.environ["SSL_CERT_FILE"] = str(mtls.server.pem)
        added = command("client", "add", NAME, "--owner", OWNER, "--certificate", f"subject_dn=CN={NAME}")
        assert added.returncode == 0 and "mtls:FOLDER" in added.stdout, added.stderr
        beat = {"every": "1s", "missed_after": "30s", "evidence": "fresh"}
        mtls.system.apply_charter(name=NAME, clients=[NAME], beat=beat, grants=GRANTS)
        yield command


@pytest.fixture
def folder(mtls: Town, tmp_path: Path) -> Path:
    """What the workload holds."""
    return put(tmp_path / "own", make(tmp_path, NAME, by=mtls.authority), mtls)


def test_a_session_lives_on_over_a_renewed_certificate(
    mtls: Town, sojourn: Sojourn, folder: Path, tmp_path: Path
) -> None:
    who = workload_here({}, server=mtls.system.issuer, client=NAME, evidence=f"mtls:{folder}")
    live = open_session(who, Wish(NAME, "1", [DATABASE_GRANT]))
    assert live.beat().state == "active" and lets_in(live.credentials[0])

    put(folder, make(tmp_path, NAME, by=mtls.authority), mtls)
    assert live.beat().state == "active"

    put(folder, make(tmp_path, "thief", by=mtls.authority), mtls)
    with pytest.raises(SojournError) as refused:
        live.beat()
    assert refused.value.code == "bad_evidence"
    assert text(member(live.view.raw, "context"), "mtls.client") == NAME
    live.complete()


def test_run_opens_by_the_certificate_and_the_command_sees_no_key(
    mtls: Town, sojourn: Sojourn, folder: Path
) -> None:
    told = ("--server", mtls.system.issuer, "--client", NAME, "--evidence", f"mtls:{folder}")
    look = "tr '\\0' '\\n' < /proc/$PPID/cmdline; env; tr '\\0' '\\n' < /proc/$PPID/environ"

    done = sojourn("run", *told, "--task", f"{NAME}:1", "--json", "--", "sh", "-c", look)

    assert done.returncode == 0, done.stderr
    session = member(json.loads(done.stderr), "session")
    assert session["state"] == "ended" and member(session, "cause")["reason"] == "completed"
    assert "PRIVATE KEY" not in done.stdout
    assert "".join((folder / "tls.key").read_text().split()[3:5]) not in done.stdout.replace("\n", "")


@pytest.mark.parametrize("harm", ["readable", "a link", "missing", "of another certificate", "encrypted"])
def test_a_key_that_is_not_ours_alone_or_not_this_ones_opens_nothing(
    mtls: Town, sojourn: Sojourn, folder: Path, tmp_path: Path, harm: str
) -> None:
    key, other = folder / "tls.key", make(tmp_path, "other", by=mtls.authority).key_pem
    match harm:
        case "readable":
            key.chmod(0o640)
        case "a link":
            key.unlink()
            key.symlink_to(other)
        case "missing":
            key.unlink()
        case "of another certificate":
            shutil.copyfile(other, key)
        case _:
            held = load_pem_private_key(key.read_bytes(), None)
            sealed = BestAvailableEncryption(b"word")
            key.write_bytes(held.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
    who = workload_here({}, server=mtls.system.issuer, client=NAME, evidence=f"mtls:{folder}")

    with pytest.raises((Invalid, Unavailable)) as refused:
        open_session(who, Wish(NAME, "1", [DATABASE_GRANT]))

    expected = "unsafe_file" if harm in ("readable", "a link") else "evidence_unavailable"
    assert refused.value.code == expected


def test_a_certificate_that_nobody_registered_opens_nothing_and_is_named(mtls: Town, tmp_path: Path) -> None:
    folder = put(tmp_path / "own", make(tmp_path, "stranger"), mtls)
    who = workload_here({}, server=mtls.system.issuer, client=NAME, evidence=f"mtls:{folder}")

    with pytest.raises(Unavailable) as refused:
        open_session(who, Wish(NAME, "1", [DATABASE_GRANT]))

    assert refused.value.code == "no_answer" and "tls.crt" in refused.value.message


@pytest.mark.parametrize("evidence", ["mtls:", "mtls:/run/own"])
def test_a_certificate_is_shown_over_tls_and_from_a_folder(evidence: str) -> None:
    server = "http://127.0.0.1:1" if evidence != "mtls:" else "https://sojourn.example"

    with pytest.raises(Invalid) as refused:
        workload_here({}, server=server, client=NAME, evidence=evidence)

    assert refused.value.code == "usage_evidence"
