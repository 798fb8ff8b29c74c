"""The OpenAPI 3.1 document: what FastAPI derives, with our answers, errors and security."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from sojourn.faces.http.answers import OAuthErrorView, ProblemView
from sojourn.faces.http.envelope import FORWARDED
from sojourn.faces.http.limits import ENDING
from sojourn.faces.http.problems import MEDIA_TYPE

ANY: Final = "*/*"

_WORDS: Final = {
    400: "The request cannot be read",
    401: "Who is asking could not be established",
    403: "The caller may not",
    404: "No such thing, or the caller may not know of it",
    405: "Not with this method",
    409: "Somebody else was first, or the state does not allow it",
    413: "Larger than we read",
    415: "Another media type is expected",
    422: "A member is missing, unknown or out of bounds",
    500: "A defect of ours",
    501: "Not offered here",
    429: "This caller calls too often; it should come back in a second",
    502: "A target refused, failed or did not answer",
    503: "We cannot answer now; nothing was granted",
}
_OPEN_ERRORS: Final = (400, 404, 405, 413, 422, 503)
_CALLER_ERRORS: Final = (401, 403, 429)
_WRITE_ERRORS: Final = (409, 415, 502)


def _form(required: list[str], *optional: str, **fixed: object) -> dict[str, Any]:
    """The schema of a form; parameters that are not named are ignored (RFC 6749, section 3.2)."""
    named = {name: {"type": "string"} for name in (*required, *optional)}
    return {"type": "object", "required": required, "properties": {**named, **fixed}}


_CLIENT: Final = ("client_assertion_type", "client_assertion", "client_id")
_FORMS: Final = {
    "/oauth2/token": _form(
        ["grant_type"],
        *_CLIENT,
        "assertion",
        "subject_token",
        "subject_token_type",
        "actor_token",
        "actor_token_type",
        "requested_token_type",
        "authorization_details",
        "resource",
        "audience",
        "scope",
        grant_type={
            "enum": [
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ]
        },
    ),
    "/oauth2/introspect": _form(["token"], "token_type_hint", *_CLIENT),
    "/oauth2/revoke": _form(["token"], "token_type_hint", *_CLIENT),
}

_SCHEMES: Final = {
    "proof": {"type": "apiKey", "in": "header", "name": "DPoP", "description": "DPoP proof (RFC 9449)"},
    "token": {
        "type": "http",
        "scheme": "dpop",
        "description": "Access token bound to the proof's key (RFC 9449)",
    },
}

Responses = dict[int | str, dict[str, Any]]


def responses_of(
    method: str, path: str, status: int, answer: type[BaseModel] | str, *, also: Mapping[int, type[BaseModel]]
) -> Responses:
    """Every answer a route can give: its own, and one problem for each status of an error."""
    good: Responses = {status: _content(answer), **{code: _content(model) for code, model in also.items()}}
    if path.startswith(FORWARDED):
        good["default"] = {"description": "What the API behind it answered", "content": {ANY: {"schema": {}}}}
    return good | {code: _error(path, code) for code in _errors(method, path)}


def _errors(method: str, path: str) -> tuple[int, ...]:
    if path in _FORMS:
        return (400, 401, 405, 413, 415, 503)
    callers: tuple[int, ...] = ()
    if path.startswith(("/v1", "/signals", FORWARDED)) or path == "/metrics":
        callers = tuple(code for code in _CALLER_ERRORS if code != 429 or not path.endswith(ENDING))
    asks_a_target = path.endswith(("/reconcile", "/standing")) or path.startswith(FORWARDED)
    historical = (501,) if path.startswith("/oauth2/status/") else ()
    writes = _WRITE_ERRORS if method != "GET" else (409, 502) if asks_a_target else (415,)
    return tuple(sorted((*_OPEN_ERRORS, *callers, *writes, *historical)))


def _content(answer: type[BaseModel] | str) -> dict[str, Any]:
    if isinstance(answer, str):
        form = "binary" if answer.endswith("octet-stream") else None
        schema = {"type": "string"} | ({"format": form} if form else {})
        return {"description": "Done", "content": {answer: {"schema": schema}}}
    return {"description": (answer.__doc__ or "Done").partition("\n")[0], "model": answer}


def _error(path: str, status: int) -> dict[str, Any]:
    if path in _FORMS and status != 405:
        return {"description": _WORDS[status], "model": OAuthErrorView}
    return {"description": _WORDS[status], "content": {MEDIA_TYPE: {"schema": _ref(ProblemView)}}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def document_of(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, openapi_version="3.1.0", routes=app.routes)
        app.openapi_schema = _completed(made)
    return app.openapi_schema


def _completed(made: dict[str, Any]) -> dict[str, Any]:
    components = made.setdefault("components", {})
    components.setdefault("schemas", {})["ProblemView"] = ProblemView.model_json_schema()
    components["securitySchemes"] = _SCHEMES
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for path, operations in made["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    return made


def _complete(path: str, operation: dict[str, Any]) -> None:
    asks = operation["description"].rpartition("Caller: ")[2]
    proof: dict[str, list[str]] = {"proof": []}
    token: dict[str, list[str]] = {"proof": [], "token": []}
    if "or the session's key" in asks:
        operation["security"] = [token, proof]
    elif "its assertion" in asks:
        operation["security"] = [token, {}]
    elif asks.startswith("a client's token"):
        operation["security"] = [token]
    elif asks != "anybody.":
        operation["security"] = [proof]
    if path in _FORMS:
        content = {"application/x-www-form-urlencoded": {"schema": _FORMS[path]}}
        operation["requestBody"] = {"required": True, "content": content}
