"""What a guarded API says of itself to whoever comes without a token (RFC 9728).

Its identifier is the audience that tokens are made for. Where the audience is an address, the
document also stands at the place that belongs to that address.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

PLACE: Final = "/.well-known/oauth-protected-resource"


class ResourceMetadata:
    """The document, made once."""

    def __init__(self, base: str, *, issuer: str, audience: str, require: object) -> None:
        path = urlsplit(audience).path.rstrip("/") if "://" in audience else ""
        self.address = f"{base}{PLACE}{path}"
        self._places = frozenset({PLACE, PLACE + path})
        document: dict[str, object] = {
            "resource": audience,
            "authorization_servers": [issuer],
            "bearer_methods_supported": ["header"],
            "dpop_bound_access_tokens_required": True,
            "dpop_signing_alg_values_supported": ["ES256"],
        }
        scopes = sorted(_scopes(require))
        if scopes:  # an empty member would be refused by strict readers
            document["scopes_supported"] = scopes
        self.body = json.dumps(document).encode()
        self.headers = (
            ("content-type", "application/json"),
            ("content-length", str(len(self.body))),
            ("access-control-allow-origin", "*"),
        )

    def answers(self, method: str, path: str) -> bool:
        """Whether this request asks for the document, which needs no token."""
        return method == "GET" and path in self._places


def _scopes(require: object) -> Iterable[str]:
    if not isinstance(require, Mapping):
        return ()
    return {scope for scopes in require.values() for scope in scopes}
