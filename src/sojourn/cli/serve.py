"""`sojourn serve` and `sojourn dev`: the only commands that need `sojourn[server]`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Protocol, cast

from cyclopts import Parameter

from sojourn.cli.calling import guarded
from sojourn.core.errors import Invalid


class Running(Protocol):
    """What this file needs of `sojourn.running`; both return when the server has stopped."""

    def serve(self, config: Path) -> int:
        """Serve as the file `config` says."""
        ...

    def dev(self, state: Path, *, port: int) -> int:
        """Serve on loopback with embedded SQLite in `state`.

        Writes an invitation for the first operator into `state`, and the profile of a workload
        to where `sojourn run` looks for it; shows address and link on the terminal.
        """
        ...


def serve(*, config: Annotated[Path, Parameter(help="The configuration file.")]) -> int:
    """Run the control plane."""
    return guarded(lambda: _running().serve(config), as_json=False)


def dev(
    *,
    state: Annotated[Path | None, Parameter(help="Where the database and keys are kept.")] = None,
    port: int = 8787,
) -> int:
    """Run a control plane on this machine, for trying things out; `sojourn run` works at once."""
    import os

    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    place = state or home / "sojourn"
    return guarded(lambda: _running().dev(place, port=port), as_json=False)


def _running() -> Running:
    try:
        return cast(Running, import_module("sojourn.running"))
    except ModuleNotFoundError as error:
        missing = error.name or "a module"
        raise Invalid("no_server", f"`{missing}` is not installed; install `sojourn[server]`") from error
