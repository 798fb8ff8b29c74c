"""UTC instants as the ledger writes them: RFC 3339, `Z`, always six digits of a second."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from sojourn.ledger.errors import LedgerError, quote

_FORM: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def show_instant(instant: datetime) -> str:
    """Write an aware UTC instant.

    Raises:
        LedgerError: code `bad_instant`; it has no offset, or another than zero.
    """
    if instant.utcoffset() != timedelta(0):
        raise LedgerError("bad_instant", "expected an instant in UTC")
    return instant.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def read_instant(text: object) -> datetime:
    """Read what `show_instant` wrote, and no other spelling.

    Raises:
        LedgerError: code `bad_instant`.
    """
    if not isinstance(text, str) or not _FORM.fullmatch(text):
        raise LedgerError("bad_instant", f"expected `YYYY-MM-DDThh:mm:ss.ffffffZ`, got {quote(text)}")
    try:
        return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
    except ValueError as error:
        raise LedgerError("bad_instant", f"expected a date that exists, got {quote(text)}") from error
