"""The one error of this package, and how it quotes what it was given.

The package stands alone, so it has its own error; callers outside translate by `code`.
"""

from __future__ import annotations

from typing import Final

_QUOTED: Final = 40


class LedgerError(Exception):
    """What was given is not what the format demands, or does not prove what it claims.

    `code` is stable and never changes its meaning; the message is for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def quote(value: object) -> str:
    """Show foreign input in backticks: short, ASCII only, and unable to drive a terminal."""
    text = value if isinstance(value, str) else type(value).__name__
    shown = text[:_QUOTED].encode("ascii", "backslashreplace").decode("ascii")
    safe = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in shown)
    return f"`{safe}…`" if len(text) > _QUOTED else f"`{safe}`"
