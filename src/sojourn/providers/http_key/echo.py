"""A stream in which the key must not come back: an API may echo what it was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sojourn.core.errors import TargetError


async def without(secret: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """`pieces`, held back by less than the length of `secret`, and stopped before it would show.

    Raises:
        TargetError: code `secret_echoed`; the API sent the key, and nothing more is passed on.
    """
    held = b""
    async for piece in pieces:
        held += piece
        if secret in held:
            raise TargetError("secret_echoed", "the API sent its key back; the answer was stopped")
        safe = len(held) - len(secret) + 1
        if safe > 0:
            yield held[:safe]
            held = held[safe:]
    if held:
        yield held
