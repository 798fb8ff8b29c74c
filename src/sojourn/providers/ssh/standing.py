"""Keys that let somebody in at the host without any session: its lists of authorized keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sojourn.core.authorized_keys import read_line
from sojourn.core.errors import TargetError
from sojourn.core.standing import Standing


def standing_keys(answer: Mapping[str, object], host: str) -> list[Standing]:
    """What the host listed, as findings; sshd does not keep when a key was last used.

    The age is that of the file, so it is the least that can be said.

    Raises:
        TargetError: code `bad_answer`.
    """
    listed = answer.get("found")
    if not isinstance(listed, list):
        raise TargetError("bad_answer", "the host did not list its authorized keys")
    return [one for line in listed if isinstance(line, dict) and (one := _standing(line, host))]


def _standing(told: Mapping[str, object], host: str) -> Standing | None:
    key, changed = read_line(str(told.get("line", ""))), told.get("changed")
    if key is None:
        return None
    user = str(told.get("user", ""))
    return Standing(
        kind="ssh_authorized_key",
        place=f"ssh://{user}@{host}{told.get('place')}:{told.get('number')}",
        name=key.fingerprint,
        created_at=datetime.fromtimestamp(changed, UTC) if isinstance(changed, int | float) else None,
        expires_at=key.expires_at,
        owner_guess=key.comment or user or None,
        privileged=told.get("uid") == 0 or key.authority,
        grants={"host": {"target": "CHANGE-ME-ssh", "template": "shell"}},
    )
