"""One role, its account's admin keys, and what a session of it may do; read once and strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.providers._common.reading import read_settings, read_template
from sojourn.providers._http import LOOPBACK
from sojourn.providers.aws_sts.wire import Keys

LONGEST_POLICY: Final = 2048  # characters of a session policy
_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/(?:[\w+=,.@-]+/)*([\w+=,.@-]{1,64})", re.ASCII)
_POLICY_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::(?:aws|[0-9]{12}):policy/[\w+=,.@/-]{1,200}", re.ASCII)
_REGION: Final = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}")

# A denial by name would not follow a session into another role.
NO_CHAINING: Final = {"Effect": "Deny", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": "*"}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One role that sessions take on."""

    role_arn: str
    region: str = "us-east-1"
    sts_endpoint: str | None = None
    iam_endpoint: str | None = None
    source_identity: bool = True
    external_id: str | None = None
    propagation_seconds: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 60

    @property
    def role_name(self) -> str:
        """The role's name, without its path."""
        return self.role_arn.rsplit("/", 1)[1]


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a role session is narrowed to: statements of a session policy, policies by ARN, or both."""

    statements: Annotated[tuple[dict[str, object], ...], msgspec.Meta(max_length=32)] = ()
    policy_arns: Annotated[tuple[str, ...], msgspec.Meta(max_length=10)] = ()


class _AdminKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


def configured(settings: Mapping[str, object]) -> Settings:
    """The settings of a target.

    Raises:
        Invalid: code `bad_target`.
    """
    read = read_settings(settings, Settings)
    if not _ROLE.fullmatch(read.role_arn):
        raise Invalid("bad_target", "`role_arn` must be the ARN of a role")
    if not _REGION.fullmatch(read.region):
        raise Invalid("bad_target", "`region` must be the name of a region")
    for endpoint in (read.sts_endpoint, read.iam_endpoint):
        if endpoint is not None:
            _check_endpoint(endpoint)
    return read


def admin_keys(secret: Secret) -> Keys:
    """The admin's keys, from a JSON object on one line.

    Raises:
        Invalid: code `bad_target`; the message never repeats the secret.
    """
    try:
        read = msgspec.json.decode(secret.reveal().encode(), type=_AdminKeys)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        text = "the secret must be `{access_key_id, secret_access_key}` as JSON"
        raise Invalid("bad_target", text) from None
    token = None if read.session_token is None else Secret(read.session_token)
    return Keys(read.access_key_id, Secret(read.secret_access_key), token)


def template(raw: Mapping[str, object]) -> Template:
    """A grant template.

    Raises:
        Invalid: code `bad_template`.
    """
    read = read_template(raw, Template)
    if not read.statements and not read.policy_arns:
        raise Invalid("bad_template", "name `statements` or `policy_arns`: never all of a role")
    for arn in read.policy_arns:
        if not _POLICY_ARN.fullmatch(arn):
            raise Invalid("bad_template", f"`policy_arns`: `{arn[:80]}` is no ARN of a policy")
    for number, statement in enumerate(read.statements):
        if statement.get("Effect") not in ("Allow", "Deny") or "Principal" in statement:
            raise Invalid("bad_template", f"`statements[{number}]` must allow or deny, and name no principal")
    if len(session_policy(read)) > LONGEST_POLICY:
        raise Invalid("bad_template", f"the session policy is longer than {LONGEST_POLICY} characters")
    return read


def session_policy(read: Template) -> str:
    """The inline session policy, always with the statement that forbids other roles."""
    document = {"Version": "2012-10-17", "Statement": [*read.statements, NO_CHAINING]}
    return json.dumps(document, separators=(",", ":"))


def _check_endpoint(endpoint: str) -> None:
    try:
        url = urlsplit(endpoint)
        host = url.hostname or ""
    except ValueError as error:
        raise Invalid("bad_target", "an endpoint must be a URL") from error
    if url.username or url.query or not host or not (url.scheme == "https" or host in LOOPBACK):
        raise Invalid("bad_target", "an endpoint is https, or loopback, with nothing but host and port")
