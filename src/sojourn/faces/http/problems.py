"""Error code -> status, title and meaning: the only such table, and RFC 9457 problems from it.

Every code that callers can see stands here with its meaning; `docs/reference/errors.md` is
written from it. A code that a plugin brought along falls back to the status of its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.responses import Response

from sojourn.core.errors import (
    Conflict,
    Invalid,
    NonceWanted,
    NotFound,
    Refused,
    SojournError,
    TargetError,
    Unauthenticated,
    Unavailable,
)
from sojourn.faces.http.meanings import MEANINGS
from sojourn.faces.http.request_log import note_code

MEDIA_TYPE: Final = "application/problem+json"

STATUS_OF_CLASS: Final[tuple[tuple[type[SojournError], int], ...]] = (
    (Invalid, 422),
    (Unauthenticated, 401),
    (Refused, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Unavailable, 503),
    (TargetError, 502),
)

# OAuth endpoints answer in OAuth's own form (RFC 6749, section 5.2; RFC 8693, 9396, 9449, 7009).
_OAUTH_OWN: Final = (
    "authorization_pending",
    "invalid_authorization_details",
    "invalid_grant",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_token_type",
)
# Codes of the face itself whose status is not that of their class.
STATUS_OF_CODE: Final[Mapping[str, int]] = {
    "malformed_body": 400,
    "token_in_query": 400,
    "too_large": 413,
    "unsupported_media_type": 415,
    "method_not_allowed": 405,
    "too_many_calls": 429,
    "internal_error": 500,
    "no_history": 501,
    **dict.fromkeys(_OAUTH_OWN, 400),
}

_HEADERS_OF_STATUS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": 'DPoP algs="ES256"'},
    429: {"Retry-After": "1"},
    503: {"Retry-After": "1"},
}

_OAUTH_CODES: Final[Mapping[str, str]] = {
    **{code: code for code in _OAUTH_OWN},
    "bad_proof": "invalid_dpop_proof",
    "wrong_key": "invalid_dpop_proof",
    "missing_proof": "invalid_dpop_proof",
    "replayed_proof": "invalid_dpop_proof",
    "use_dpop_nonce": "use_dpop_nonce",
    "too_long": "invalid_authorization_details",
    "unknown_grant": "invalid_authorization_details",
    "unknown_action": "invalid_authorization_details",
    "unknown_charter": "invalid_authorization_details",
}


def status_of(error: SojournError) -> int:
    """The status that `error` is answered with."""
    by_class = next((status for kind, status in STATUS_OF_CLASS if isinstance(error, kind)), 500)
    return STATUS_OF_CODE.get(error.code, by_class)


def title_of(code: str) -> str:
    """A short name for people, the same for every occurrence of `code`."""
    return code.replace("_", " ")


def problem(error: SojournError, extension: Mapping[str, object] | None = None) -> Response:
    """`error` as a problem document (RFC 9457, section 3)."""
    note_code(error.code)
    status = status_of(error)
    members: dict[str, object] = {
        "type": f"urn:sojourn:problem:{error.code}",
        "title": title_of(error.code),
        "status": status,
        "detail": error.message,
        "code": error.code,
        **(extension or {}),
    }
    headers = {**_HEADERS_OF_STATUS.get(status, {}), **_nonce(error)}
    return Response(msgspec.json.encode(members), status, headers, MEDIA_TYPE)


def _nonce(error: SojournError) -> Mapping[str, str]:
    """How a nonce is given (RFC 9449, sections 8 and 9)."""
    if not isinstance(error, NonceWanted):
        return {}
    return {"DPoP-Nonce": error.nonce, "WWW-Authenticate": 'DPoP error="use_dpop_nonce", algs="ES256"'}


def oauth_error(error: SojournError, *, unauthenticated: str = "invalid_client") -> Response:
    """`error` as OAuth says it; `unauthenticated` is what evidence that does not hold is called here."""
    note_code(error.code)
    status, code = _oauth_form(error, unauthenticated)
    headers = dict(_HEADERS_OF_STATUS.get(status, {})) if status != 401 else {"WWW-Authenticate": "DPoP"}
    headers |= _nonce(error)
    body = msgspec.json.encode({"error": code, "error_description": _plain(error.message)})
    return Response(body, status, headers, "application/json")


def _oauth_form(error: SojournError, unauthenticated: str) -> tuple[int, str]:
    if error.code in _OAUTH_CODES:
        return 400, _OAUTH_CODES[error.code]
    if isinstance(error, Unauthenticated) or error.code == "replayed":
        return 401 if unauthenticated == "invalid_client" else 400, unauthenticated
    match error:
        case Refused():
            return 400, "unauthorized_client"
        case Unavailable() | TargetError():
            return 503, "temporarily_unavailable"
        case _:
            status = status_of(error)
            return (status if status in (413, 415) else 400), "invalid_request"


def _plain(text: str) -> str:
    """Only the characters that `error_description` may hold (RFC 6749, section 5.2)."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" for c in text)


def render(path: str, error: SojournError) -> Response:
    """`error` in the form that callers of `path` expect."""
    in_oauth = path.startswith("/oauth2/") and not path.startswith("/oauth2/status")
    return oauth_error(error) if in_oauth else problem(error)


def reference() -> str:
    """The page `docs/reference/errors.md`."""
    rows = [f"| `{code}` | {status} | {text} |" for code, (status, text) in sorted(MEANINGS.items())]
    return "\n".join((_REFERENCE_HEAD, *rows, ""))


_REFERENCE_HEAD: Final = """# Errors

Every error is a problem document (RFC 9457), `application/problem+json`, with the members `type`
(`urn:sojourn:problem:CODE`), `title`, `status`, `detail` and `code`. Codes never change their
meaning; `detail` is for people and may change. Only the routes below
`/oauth2/` answer in OAuth's own form.

| code | status | meaning |
|---|---|---|"""
