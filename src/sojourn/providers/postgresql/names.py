"""Names as PostgreSQL stores them: which can exist exactly as written.

The server silently cuts an identifier at 63 bytes, so two of ours could become one:
longer names are refused. Quoting is the server's own work (`format('%I')`), not done here.
"""

from __future__ import annotations

from typing import Final

from sojourn.core.errors import Invalid

NAME_BYTES: Final = 63  # NAMEDATALEN - 1 of every stock build


def check_name(code: str, member: str, name: str) -> None:
    """Refuse a name that PostgreSQL cannot hold as it is.

    Raises:
        Invalid: with `code`, naming `member`.
    """
    try:
        raw = name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Invalid(code, f"`{member}` is not valid Unicode") from error
    if not 1 <= len(raw) <= NAME_BYTES:
        raise Invalid(code, f"`{member}` must have 1 to {NAME_BYTES} bytes, got {len(raw)}")
    if b"\0" in raw:
        raise Invalid(code, f"`{member}` holds a NUL character")


def check_handle(handle: str) -> None:
    """Refuse a handle that cannot be the name of a role.

    Raises:
        Invalid: code `bad_handle`.
    """
    check_name("bad_handle", "handle", handle)
    if handle.lower().startswith("pg_"):
        raise Invalid("bad_handle", "a role's name cannot begin with `pg_`")
