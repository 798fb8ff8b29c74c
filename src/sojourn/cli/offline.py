"""`sojourn session kill --offline`: the server's modules are loaded only when it is asked for."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from sojourn.cli.exits import Exit
from sojourn.cli.output import show_json
from sojourn.core.errors import Invalid, Unavailable


def kill_offline(session: str, detail: str, *, state: Path | None, config: Path | None, as_json: bool) -> int:
    """End `session` on record; destruction goes on when a server starts."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    try:
        door = import_module("sojourn.offline")
    except ModuleNotFoundError as error:
        raise Invalid("no_server", f"`{error.name}` is not installed; install `sojourn[server]`") from error
    try:
        found = door.kill(session, detail, state=state or home / "sojourn", config=config)
    except Unavailable as error:
        if error.code != "store_locked":
            raise
        raise Unavailable(
            "store_locked", "a server holds this store: stop it by its pid first (kill -9 PID)"
        ) from error
    if as_json:
        show_json({"session": found.id, "state": str(found.state), "offline": True})
    else:
        print(f"session {found.id} {found.state}: refused from now on; destruction goes on at the next start")
    return Exit.OK
