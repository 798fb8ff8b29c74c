"""A control plane, profiles for it, and `sojourn` as a real command."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.client.profile import Profile, save_profile
from sojourn.client.signing import Es256Key
from tests.cli.command import Sojourn, until
from tests.cli.control_plane import ControlPlane


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """A control plane that answers."""
    plane = ControlPlane()
    yield plane
    plane.close()
    assert plane.wrong == []


@pytest.fixture
def sojourn(plane: ControlPlane, tmp_path: Path) -> Iterator[Sojourn]:
    """The command, with a workload's and an operator's profile."""
    folder = tmp_path / "profiles"
    for role in ("workload", "operator"):
        key = Es256Key.generate()
        plane.enrol(f"cli_{role}", role, dict(key.public_jwk))
        save_profile(folder / f"{role}.json", Profile(plane.issuer, f"cli_{role}", role, role, key))
    runtime = Path(tempfile.mkdtemp(prefix="sjt-"))  # short: the path of a Unix socket is at most 108 bytes
    environ = {**os.environ, "SOJOURN_PROFILE": str(folder), "XDG_RUNTIME_DIR": str(runtime)}
    command = Sojourn([sys.executable, "-c", "from sojourn.cli.main import main; main()"], environ, runtime)
    yield command
    for started in command.started:
        if started.poll() is None:
            started.kill()
        started.communicate(timeout=10)
    left = until(lambda: not list(runtime.iterdir()))
    shutil.rmtree(runtime)
    assert left, "a session's folder was left behind"
