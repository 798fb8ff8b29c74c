"""`sojourn` as a person or a job calls it, with profiles for a running system."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sojourn.client.profile import save_profile
from tests.cli.command import Sojourn
from tests.rig.postgres import BINARIES
from tests.rig.system import System


@contextmanager
def shell(system: System) -> Iterator[Sojourn]:
    """The command, with the operator's and the workload's profile; what it started is ended."""
    folder, runtime = system.place / "profiles", system.place / "run"
    for place in (folder, runtime):
        place.mkdir(mode=0o700, exist_ok=True)
    save_profile(folder / "operator.json", system.operator._profile)
    save_profile(folder / "workload.json", system.workload)
    environ = {**os.environ, "SOJOURN_PROFILE": str(folder), "XDG_RUNTIME_DIR": str(runtime)}
    environ["PATH"] = f"{BINARIES}{os.pathsep}{environ['PATH']}"  # for psql
    command = Sojourn([sys.executable, "-c", "from sojourn.cli.main import main; main()"], environ, runtime)
    yield command
    for started in command.started:
        if started.poll() is None:
            started.kill()
        started.communicate(timeout=10)
