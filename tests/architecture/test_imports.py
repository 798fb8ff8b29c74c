"""The import contracts of `.importlinter` hold; and each refuses a violation planted for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.architecture.tree import ROOT

# contract, file to write, what to write into it
PLANTED = [
    ("layers", "ports/planted.py", "import sojourn.adapters"),
    ("layers", "core/planted.py", "import sojourn.ports.provider"),
    ("layers", "services/end_session.py", "import sojourn.providers"),
    ("layers", "ledger/planted.py", "import sojourn.core.errors"),
    ("layers", "unlisted.py", "x = 1"),
    ("services", "services/sweep_deadlines.py", "import sojourn.services.reap_leases"),
    ("services", "services/unlisted.py", "x = 1"),
    ("edge", "guard/planted.py", "import sojourn.ports.provider"),
    ("edge-base-install", "client/planted.py", "import sqlalchemy"),
    ("faces", "faces/planted.py", "import sojourn.adapters"),
    ("pure", "core/planted.py", "import time"),
    ("pure", "ledger/planted.py", "import cryptography"),
    ("plugins", "providers/planted.py", "import sojourn.providers.other"),
    ("acyclic", "core/planted.py", "import sojourn.core.planted_too"),
]
ALSO = {
    "services/sweep_deadlines.py": ("services/reap_leases.py", ""),
    "providers/planted.py": ("providers/other.py", ""),
    "core/planted.py": ("core/planted_too.py", "import sojourn.core.planted"),
}


def lint(root: Path, *contracts: str) -> subprocess.CompletedProcess[str]:
    """Check the tree under `root` against its `.importlinter`."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    for contract in contracts:
        command += ["--contract", contract]
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=50)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contracts, to plant violations in."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_every_contract_is_kept() -> None:
    answer = lint(ROOT)

    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(("contract", "path", "text"), PLANTED)
def test_a_planted_import_is_refused(copy: Path, contract: str, path: str, text: str) -> None:
    # That the copy is sound before the planting is what `test_every_contract_is_kept` shows.
    (copy / "src/sojourn" / path).write_text(text + "\n")
    if path in ALSO:
        other, other_text = ALSO[path]
        (copy / "src/sojourn" / other).write_text(other_text + "\n")

    after = lint(copy, contract)

    assert after.returncode == 1, after.stdout + after.stderr
    assert "BROKEN" in after.stdout


def test_every_contract_has_a_planted_violation() -> None:
    lines = (ROOT / ".importlinter").read_text().splitlines()
    named = {
        line[len("[importlinter:contract:") : -1]
        for line in lines
        if line.startswith("[importlinter:contract:")
    }

    assert named == {contract for contract, _, _ in PLANTED}
