"""One message to an address that an operator configured: sent once, answered with a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Sender(Protocol):
    """Posts a body. It never repeats a request, and follows nothing that an answer says."""

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer, whatever it is.

        Raises:
            Unavailable: code `unreachable_hook`; not allowed, not there, too slow; it may have arrived.
        """
        ...
