"""Accounts that can log in and that no session made, as findings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sojourn.core.standing import Standing


def standing_of(row: Sequence[Any], place: str) -> Standing:
    """One account as a finding; its age is that of its password, its owner whom it is named after.

    A password that expires is no end: its holder sets another.
    """
    user, host, privileged, changed, used = row
    return Standing(
        kind="mysql_account",
        place=f"mysql://{place}",
        name=f"{user}@{host}",
        created_at=_instant(changed),
        last_used_at=_instant(used),
        owner_guess=str(user) or None,
        privileged=bool(int(privileged or 0)),
        grants={"database": {"target": "CHANGE-ME-mysql", "template": "readonly"}},
    )


def _instant(value: object) -> datetime | None:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None
