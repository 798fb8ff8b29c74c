"""Which headers pass, each way: nothing that speaks for us, and nothing that would be a credential."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Headers = Iterable[tuple[str, str]]

# RFC 9110, section 7.6.1: they belong to one hop.
_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What only we say, or what would speak of another session than this one.
_OURS: Final = frozenset(
    {
        "host",
        "content-length",
        "authorization",
        "dpop",
        "cookie",
        "client-cert",
        "client-cert-chain",
        "forwarded",
    }
)
# A cookie would be a credential that nobody takes back; the others are ours to say.
_KEPT: Final = frozenset(
    {"set-cookie", "set-cookie2", "content-length", "www-authenticate", "server", "date"}
)


def outward(headers: Headers, *, injected: str) -> list[tuple[str, str]]:
    """What of a session's headers reaches the API; `injected` is the header that carries the key."""
    listed = list(headers)
    gone = _HOP | _OURS | {injected.lower()} | _named(listed)
    return [(name, value) for name, value in listed if _plain(name) not in gone and not _is_forwarded(name)]


def homeward(headers: Headers) -> list[tuple[str, str]]:
    """What of the API's headers reaches the session."""
    listed = list(headers)
    gone = _HOP | _KEPT | _named(listed)
    return [(name, value) for name, value in listed if _plain(name) not in gone]


def _plain(name: str) -> str:
    # Servers that fold `_` into `-` must not be shown a second spelling of what is withheld.
    return name.lower().replace("_", "-")


def _is_forwarded(name: str) -> bool:
    return _plain(name).startswith("x-forwarded-")


def _named(headers: Headers) -> frozenset[str]:
    """What `Connection` names belongs to one hop, too."""
    values = [value for name, value in headers if name.lower() == "connection"]
    return frozenset(_plain(one.strip()) for value in values for one in value.split(","))
