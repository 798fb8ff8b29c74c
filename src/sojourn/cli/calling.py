"""How commands reach the control plane: as the operator of a profile, or as its workload."""

from __future__ import annotations

import os
from collections.abc import Callable

from sojourn.cli.output import fail
from sojourn.client.caller import ClientCaller
from sojourn.client.clock import EdgeClock
from sojourn.client.profile import Profile, load_profile, profile_path
from sojourn.client.transport import Transport
from sojourn.core.errors import Invalid, NotFound, SojournError


def profile_of(chosen: str | None, *, role: str = "operator") -> Profile:
    """The profile to use; without an operator's, a workload's sees its own sessions."""
    try:
        return load_profile(profile_path(role, os.environ, chosen=chosen))
    except NotFound:
        if role == "workload":
            raise
        other = profile_path("workload", os.environ, chosen=chosen)
        if not other.exists():
            raise
        return load_profile(other)


def caller_of(chosen: str | None) -> ClientCaller:
    """Requests signed with the profile's key."""
    profile = profile_of(chosen)
    return ClientCaller(Transport(profile.issuer), profile, EdgeClock())


def guarded(work: Callable[[], int], *, as_json: bool) -> int:
    """Do `work`; errors become a line and an exit code."""
    try:
        return work()
    except SojournError as error:
        return fail(error, as_json=as_json)
    except OSError as error:
        return fail(Invalid("local_file", f"`{error.filename}`: {error.strerror}"), as_json=as_json)
    except KeyboardInterrupt:
        return 130


def name_in_path(name: str) -> str:
    """`name` as one segment of a path.

    Raises:
        Invalid: code `usage_name`.
    """
    if not name or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in name) or name.startswith("."):
        raise Invalid(
            "usage_name", f"expected a name of letters, digits, `-`, `_` and `.`, got `{name[:40]}`"
        )
    return name
