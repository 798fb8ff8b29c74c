"""`sojourn discover`: what it shows, what it never shows, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.command import Sojourn

SECRET = "Zx81-Spectrum-48k-Plus2"


def test_a_clean_folder_is_said_to_be_clean(sojourn: Sojourn, tmp_path: Path) -> None:
    done = sojourn("discover", str(tmp_path))

    assert done.returncode == 0 and "no standing access found" in done.stdout


def test_findings_are_listed_worst_first_and_the_exit_code_says_so(sojourn: Sojourn, tmp_path: Path) -> None:
    (tmp_path / "app.env").write_text(f"DB_PASSWORD={SECRET}\n")
    (tmp_path / "id_key").write_text("-----BEGIN PRIVATE KEY-----\n")

    done = sojourn("discover", str(tmp_path))

    assert done.returncode == 5
    assert done.stdout.index("critical") < done.stdout.index("high")
    assert (
        "DB_PASSWORD" in done.stdout
        and "NHI2:2025" in done.stdout
        and SECRET not in done.stdout + done.stderr
    )


def test_json_holds_a_ready_charter_for_each_finding(sojourn: Sojourn, tmp_path: Path) -> None:
    (tmp_path / "app.env").write_text(f"URL=postgresql://ada:{SECRET}@db/shop\n")

    done = sojourn("discover", str(tmp_path), "--charters", str(tmp_path / "charters"), "--json")

    (found,) = json.loads(done.stdout)["standing"]
    (written,) = (tmp_path / "charters").glob("*.json")
    assert found["severity"] == "high" and json.loads(written.read_text()) == found["charter"]
    assert SECRET not in done.stdout + written.read_text()


def test_a_place_that_is_not_there_is_an_error(sojourn: Sojourn, tmp_path: Path) -> None:
    assert sojourn("discover", str(tmp_path / "nowhere")).returncode == 1
    assert sojourn("discover").returncode == 2
