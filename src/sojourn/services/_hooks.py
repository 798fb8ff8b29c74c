"""What the verbs for hooks share: finding one by its name, its address, its secret."""

from __future__ import annotations

from urllib.parse import urlsplit

from sojourn.core.errors import Invalid, NotFound
from sojourn.core.hook import LONGEST_URL, Hook
from sojourn.core.secret import Secret
from sojourn.ports.keys import Sealer
from sojourn.ports.store import Store


def secret_name(hook: Hook) -> str:
    """Under which name the secret of a hook is sealed."""
    return f"hook:{hook.id}"


async def hook_called(store: Store, name: str) -> Hook:
    """The hook of that name that was not removed.

    Raises:
        NotFound: code `unknown_hook`.
    """
    found = next((one for one in await store.hooks() if one.name == name), None)
    if found is None:
        raise unknown()
    return found


async def secret_of(store: Store, sealer: Sealer, hook: Hook) -> Secret:
    """The secret that is sealed for a hook.

    Raises:
        NotFound: code `unknown_hook`; there is none.
    """
    sealed = await store.sealed(secret_name(hook))
    if sealed is None:
        raise unknown()
    return Secret(sealer.unseal(secret_name(hook), sealed).decode())


def unknown() -> NotFound:
    """What everybody hears who names no hook that is there."""
    return NotFound("unknown_hook", "there is no such hook")


def require_url(url: str) -> None:
    """Refuse an address that is not plain https; whether it may be reached is judged when it is.

    Raises:
        Invalid: code `bad_url`.
    """
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
        _ = parts.port  # a port that is none raises
    except ValueError:
        plain = False
    readable = url.isascii() and url.isprintable() and " " not in url and "#" not in url
    if not plain or not readable or len(url) > LONGEST_URL:
        raise Invalid("bad_url", "expected a plain https address without user, password or fragment")
