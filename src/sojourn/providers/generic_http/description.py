"""What a file says about an HTTP API, read once and strictly.

A description that could not keep a promise of its class is refused when the target is added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from sojourn.core.errors import Invalid
from sojourn.providers._common.reading import read_settings
from sojourn.providers.generic_http.templating import names_in

BAD: Final = "bad_target"
ALWAYS: Final = frozenset({"handle", "expires_at", "expires_in"})
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~{}:@!$&'()*+,;=-]+)+/?")
_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
_OWN_HEADERS: Final = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})

Status = Annotated[int, msgspec.Meta(ge=200, le=599)]
Statuses = Annotated[tuple[Status, ...], msgspec.Meta(min_length=1, max_length=16)]
Success = Annotated[
    tuple[Annotated[int, msgspec.Meta(ge=200, le=299)], ...], msgspec.Meta(min_length=1, max_length=16)
]


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One request, as it is to be made."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: object = None


class Create(Call, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request that makes a credential; pointers into its answer."""

    success: Success = (200, 201)
    id: str
    secret: str


class Delete(Call, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request that takes it away; `gone` are the statuses that say there is none."""

    success: Success = (200, 202, 204)
    gone: Statuses = (404,)


class Check(Call, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request that tells whether it is there; any other status tells nothing."""

    present: Statuses = (200,)
    absent: Statuses = (404,)


class Find(Call, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The request that lists credentials; pointers to the list, and within an item of it."""

    success: Success = (200,)
    items: str
    id: str
    handle: str


class Auth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header that carries the admin's secret."""

    header: str = "Authorization"
    prefix: str = "Bearer "


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One API, and what taking away means there."""

    base: str
    revocation_class: Literal["A", "B", "C", "D"]
    create: Create
    delete: Delete | None = None
    check: Check | None = None
    find: Find | None = None
    probe: Check | None = None
    auth: Auth = Auth()
    ca_file: str | None = None
    connection: dict[str, str] = {}
    keep_secret: bool = False
    lands_within_seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 60


def described(settings: Mapping[str, object]) -> Description:
    """The description in a target's settings.

    Raises:
        Invalid: code `bad_target`, naming the member and what was expected.
    """
    read = read_settings(settings, Description)
    _check_calls(read)
    _check_promises(read)
    return read


def used(call: Call | None) -> frozenset[str]:
    """The placeholders of a call."""
    if call is None:
        return frozenset()
    parts: tuple[object, ...] = (call.path, call.query, call.headers, call.body)
    return frozenset(name for part in parts for name in names_in(part))


def _check_calls(read: Description) -> None:
    template = frozenset(name for name in used(read.create) if name.startswith("template."))
    kept = frozenset({"secret"}) if read.keep_secret else frozenset()
    calls: tuple[tuple[str, Call | None, frozenset[str]], ...] = (
        ("create", read.create, ALWAYS | template),
        ("delete", read.delete, frozenset({"handle", "id"}) | kept),
        ("check", read.check, frozenset({"handle", "id"})),
        ("find", read.find, frozenset({"handle"})),
        ("probe", read.probe, frozenset({"handle", "id"}) | kept),
    )
    for name, call, known in calls:
        if call is not None:
            _check_call(name, call, known)
    _check_header("auth.header", read.auth.header)
    if unknown := sorted(frozenset(names_in(read.connection)) - {"handle"}):
        raise Invalid(BAD, f"`connection`: unknown placeholder `{unknown[0][:40]}`")
    pointers = [("create.id", read.create.id), ("create.secret", read.create.secret)]
    if read.find is not None:
        pointers += [("find.items", read.find.items or "/"), ("find.id", read.find.id)]
        pointers += [("find.handle", read.find.handle)]
    for name, pointer in pointers:
        if not _POINTER.fullmatch(pointer):
            raise Invalid(BAD, f"`{name}` must be a JSON pointer such as `/key/id`")


def _check_call(name: str, call: Call, known: frozenset[str]) -> None:
    if not _PATH.fullmatch(call.path) or any(step in (".", "..") for step in call.path.split("/")):
        raise Invalid(BAD, f"`{name}.path` must be an absolute path without query, `.` and `..`")
    if unknown := sorted(used(call) - known):
        raise Invalid(BAD, f"`{name}`: unknown placeholder `{unknown[0][:40]}`")
    if "secret" in frozenset(names_in(call.path)) | frozenset(names_in(call.query)):
        raise Invalid(BAD, f"`{name}`: a secret belongs in a header or a body, never in an address")
    for header in call.headers:
        _check_header(f"{name}.headers", header)
    if call.method == "GET" and call.body is not None:
        raise Invalid(BAD, f"`{name}`: a GET has no body")


def _check_header(member: str, header: str) -> None:
    if not _HEADER_NAME.fullmatch(header) or header.lower() in _OWN_HEADERS:
        raise Invalid(BAD, f"`{member}`: `{header[:40]}` cannot be set")


def _check_promises(read: Description) -> None:
    """Refuse a description by which its class could not be kept, or an orphan not be bounded."""
    if "handle" not in used(read.create):
        raise Invalid(BAD, "`create` must use `{handle}`: what was not answered could not be told apart")
    expires = used(read.create) & {"expires_at", "expires_in"}
    if read.find is None and not expires:
        raise Invalid(BAD, "without `find`, `create` must use `{expires_at}` or `{expires_in}`")
    if read.revocation_class == "D":
        if not expires:
            raise Invalid(BAD, "class D: `create` must use `{expires_at}` or `{expires_in}`")
        return
    if read.delete is None or read.check is None:
        raise Invalid(BAD, f"class {read.revocation_class} needs `delete` and `check`")
    if read.revocation_class == "A" and read.probe is None:
        raise Invalid(BAD, "class A needs `probe`: only a use that is refused shows it")
    if read.revocation_class == "C" and not expires:
        raise Invalid(BAD, "class C: `create` must use `{expires_at}` or `{expires_in}`")
    if read.probe is not None and "secret" not in used(read.probe):
        raise Invalid(BAD, "`probe` must use `{secret}`, which needs `keep_secret`")
