"""Names of accounts and of the locks of their issues.

An account bears its session's handle. MySQL takes names of 32 characters and a handle has 34, so
there it goes without its underscores, which can be put back. A handle has an alphabet without
quotes and every other name is quoted in `template`: no text of somebody else's making reaches a
string literal here.
"""

from __future__ import annotations

import re
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.providers.mysql.dialect import Dialect
from sojourn.providers.mysql.template import quoted

LONGEST_HANDLE: Final = 48
_HANDLE: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{LONGEST_HANDLE}}}")
_LONG: Final = re.compile(r"sj_([a-z0-9]{4})_([a-z0-9]{26})")
_SHORT: Final = re.compile(r"sj([a-z0-9]{4})([a-z0-9]{26})")


def check_handle(handle: str) -> None:
    """Refuse a handle that cannot be the name of an account as it is.

    Raises:
        Invalid: code `bad_handle`.
    """
    if not _HANDLE.fullmatch(handle):
        raise Invalid("bad_handle", f"expected 1 to {LONGEST_HANDLE} letters, digits, `_`, `.` or `-`")


def user_of(handle: str, dialect: Dialect) -> str:
    """The name of a handle's account.

    Raises:
        Invalid: code `bad_handle`; this kind of server takes no name as long.
    """
    if len(handle) <= dialect.longest_name:
        return handle
    long = _LONG.fullmatch(handle)
    if long is None:
        raise Invalid("bad_handle", f"{dialect.name} takes names of {dialect.longest_name} characters")
    return f"sj{long[1]}{long[2]}"


def whose_handle(user: str, dialect: Dialect) -> str:
    """The handle of an account of ours, by its name; any other name stays as it is."""
    short = _SHORT.fullmatch(user)
    if short is None or len(user) + 2 <= dialect.longest_name:
        return user
    return f"sj_{short[1]}_{short[2]}"


def lock_of(user: str) -> str:
    """The user lock an issue holds until its outcome is visible."""
    return f"sojourn:{user}"


def account(user: str, host: str) -> str:
    """`user`@`host`, quoted."""
    return f"{quoted(user)}@{quoted(host)}"
