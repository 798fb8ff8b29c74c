"""What an account is to be born with, and how either kind of server is told.

MariaDB gets one compound statement, MySQL one packet of statements (it has no compound
statement outside a routine). Both take a user lock, look at the deadline by the server's clock,
make the account locked, grant, look at the clock again, and unlock the account last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sojourn.core.secret import Secret
from sojourn.providers.mysql.names import account


@dataclass(frozen=True, slots=True)
class Birth:
    """One account, new or unlocked again, before `deadline` by the server's clock or never."""

    user: str
    host: str
    password: Secret
    deadline: datetime
    grants: Sequence[str] = ()
    connections: int = 0

    @property
    def who(self) -> str:
        """The account, quoted."""
        return account(self.user, self.host)

    @property
    def late(self) -> str:
        """Whether the deadline has passed, as an expression."""
        return f"SYSDATE(6) > '{self.deadline.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
