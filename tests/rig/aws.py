"""STS and IAM as their pages describe them: roles, role sessions, inline policies that take seconds.

Signatures are not checked, but who signed is, and when by the real clock, as the client signs.
A policy that was put is in force only `lag_s` later, and until then the one before it is.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from tests.rig.http_simulator import Asked, Said, Simulator, Trouble

ROLE_NAME: Final = "worker"
ROLE_ARN: Final = f"arn:aws:iam::123456789012:role/{ROLE_NAME}"
ROLE_ID: Final = "AROATESTTESTTESTTEST1"
ADMIN_KEY: Final = "AKIATESTTESTTESTTEST"
LARGEST_POLICIES: Final = 10_240
LARGEST_SESSION_POLICY: Final = 2_048
SHORTEST_S: Final = 900
SIGNED_FOR_S: Final = 300
_STS: Final = "https://sts.amazonaws.com/doc/2011-06-15/"
_IAM: Final = "https://iam.amazonaws.com/doc/2010-05-08/"
_CREDENTIAL: Final = re.compile(r"Credential=([A-Z0-9]+)/")

Form = dict[str, str]


@dataclass
class RoleSession:
    """Temporary keys, and whose they are."""

    key: str
    token: str
    user_id: str
    source_identity: str
    ends_at: float
    used_at: list[float] = field(default_factory=list)


@dataclass
class Put:
    """One writing of a policy; None is its removal."""

    at: float
    document: str | None


class Aws(Simulator):
    """One account with one role, behind one address for both services."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, RoleSession] = {}
        self.policies: dict[str, list[Put]] = {}
        self.longest_s = 43_200
        self.access_keys: dict[str, dict[str, str]] = {}  # user to key to status
        self.throttled = self._error(400, "Throttling", "Rate exceeded")

    def lie_about(self, action: str, *, times: int = 1) -> None:
        """Answer the next calls of an action as done, and do nothing."""
        self.lie = self._said(_IAM, action, "")
        self.trouble(Trouble.LIE, times=times, when=lambda asked: action_of(asked) == action)

    def answer(self, asked: Asked) -> Said:
        """Route by the `Action` of the form."""
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        caller = _CREDENTIAL.search(asked.headers.get("authorization", ""))
        if caller is None or abs(time.time() - _signed_at(asked)) > SIGNED_FOR_S:
            return self._error(403, "SignatureDoesNotMatch", "Signature expired")
        if form["Action"] == "GetAccessKeyInfo":
            return self._use(caller[1], asked.headers.get("x-amz-security-token", ""))
        if caller[1] != ADMIN_KEY:
            return self._error(403, "InvalidClientTokenId", "The security token is invalid")
        actions: dict[str, Callable[[Form], Said]] = {
            "AssumeRole": self._assume,
            "GetRole": self._role,
            "PutRolePolicy": self._put,
            "DeleteRolePolicy": self._delete,
            "ListRolePolicies": self._list,
            "ListUsers": self._users,
            "ListAccessKeys": self._keys,
            "GetAccessKeyLastUsed": self._last_used,
        }
        return actions[form["Action"]](form)

    def stored(self) -> dict[str, str]:
        """The inline policies of the role, as IAM keeps them."""
        last = {name: puts[-1].document for name, puts in self.policies.items()}
        return {name: document for name, document in last.items() if document is not None}

    def denies(self, session: RoleSession) -> bool:
        """Whether a policy that is in force by now denies this role session."""
        return any(
            fnmatchcase(session.user_id, pattern)
            for document in self._in_force()
            for statement in document["Statement"]
            if statement["Effect"] == "Deny"
            for pattern in statement["Condition"]["StringLike"]["aws:userid"]
        )

    def _in_force(self) -> Iterator[Any]:
        for puts in self.policies.values():
            heard = [one for one in puts if one.at + self.lag_s <= self.now()]
            if heard and heard[-1].document is not None:
                yield json.loads(heard[-1].document)

    def _use(self, key: str, token: str) -> Said:
        session = self.sessions.get(key)
        if session is None or session.token != token:
            return self._error(403, "InvalidClientTokenId", "The security token is invalid")
        if self.now() >= session.ends_at:
            return self._error(403, "ExpiredToken", "The security token included in the request is expired")
        if self.denies(session):
            why = "is not authorized to perform: sts:GetAccessKeyInfo"
            return self._error(
                403, "AccessDenied", f"User {why} with an explicit deny in an identity-based policy"
            )
        session.used_at.append(self.now())
        return self._said(_STS, "GetAccessKeyInfo", "<Account>123456789012</Account>")

    def _assume(self, form: Form) -> Said:
        duration, name = int(form["DurationSeconds"]), form["RoleSessionName"]
        if not SHORTEST_S <= duration <= self.longest_s:
            return self._error(400, "ValidationError", "DurationSeconds is out of bounds")
        if len(form.get("Policy", "")) > LARGEST_SESSION_POLICY or not re.fullmatch(
            r"[\w+=,.@-]{2,64}", name
        ):
            return self._error(400, "ValidationError", "a member is malformed")
        key = f"ASIA{secrets.token_hex(8).upper()}"
        session = RoleSession(
            key,
            secrets.token_urlsafe(40),
            f"{ROLE_ID}:{name}",
            form.get("SourceIdentity", ""),
            int(self.now()) + duration,
        )
        self.sessions[key] = session
        ends = datetime.fromtimestamp(session.ends_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self._said(
            _STS,
            "AssumeRole",
            f"<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secrets.token_urlsafe(30)}"
            f"</SecretAccessKey><SessionToken>{session.token}</SessionToken><Expiration>{ends}</Expiration>"
            f"</Credentials><AssumedRoleUser><AssumedRoleId>{escape(session.user_id)}</AssumedRoleId>"
            f"<Arn>{ROLE_ARN}/{escape(name)}</Arn></AssumedRoleUser>",
        )

    def _role(self, form: Form) -> Said:
        if form["RoleName"] != ROLE_NAME:
            return self._error(404, "NoSuchEntity", "no such role")
        return self._said(
            _IAM,
            "GetRole",
            f"<Role><RoleName>{ROLE_NAME}</RoleName><RoleId>{ROLE_ID}</RoleId><Arn>{ROLE_ARN}</Arn>"
            "<Path>/</Path><CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>",
        )

    def _put(self, form: Form) -> Said:
        name, document = form["PolicyName"], form["PolicyDocument"]
        others = sum(len("".join(text.split())) for other, text in self.stored().items() if other != name)
        if others + len("".join(document.split())) > LARGEST_POLICIES:
            return self._error(409, "LimitExceeded", "Maximum policy size of 10240 bytes exceeded")
        self.policies.setdefault(name, []).append(Put(self.now(), document))
        return self._said(_IAM, "PutRolePolicy", "")

    def _delete(self, form: Form) -> Said:
        if form["PolicyName"] not in self.stored():
            return self._error(404, "NoSuchEntity", "no such policy")
        self.policies[form["PolicyName"]].append(Put(self.now(), None))
        return self._said(_IAM, "DeleteRolePolicy", "")

    def _list(self, form: Form) -> Said:
        names = "".join(f"<member>{escape(name)}</member>" for name in sorted(self.stored()))
        text = f"<PolicyNames>{names}</PolicyNames><IsTruncated>false</IsTruncated>"
        return self._said(_IAM, "ListRolePolicies", text)

    def _users(self, form: Form) -> Said:
        """One user a page, so that a reader of the first page alone misses most."""
        names = sorted(self.access_keys)
        at = int(form.get("Marker", "0"))
        one = (
            f"<member><UserName>{names[at]}</UserName><UserId>AIDA{at}</UserId><Path>/</Path>"
            f"<Arn>arn:aws:iam::123456789012:user/{names[at]}</Arn>"
            "<CreateDate>2020-01-01T00:00:00Z</CreateDate></member>"
        )
        more = at + 1 < len(names)
        marker = f"<Marker>{at + 1}</Marker>" if more else ""
        text = f"<Users>{one}</Users><IsTruncated>{str(more).lower()}</IsTruncated>{marker}"
        return self._said(_IAM, "ListUsers", text)

    def _keys(self, form: Form) -> Said:
        found = "".join(
            f"<member><UserName>{form['UserName']}</UserName><AccessKeyId>{key}</AccessKeyId>"
            f"<Status>{status}</Status><CreateDate>2020-01-01T00:00:00Z</CreateDate></member>"
            for key, status in self.access_keys[form["UserName"]].items()
        )
        text = f"<AccessKeyMetadata>{found}</AccessKeyMetadata><IsTruncated>false</IsTruncated>"
        return self._said(_IAM, "ListAccessKeys", text)

    def _last_used(self, form: Form) -> Said:
        used = "<LastUsedDate>2026-11-01T00:00:00Z</LastUsedDate>" if "USED" in form["AccessKeyId"] else ""
        text = f"<ServiceName>s3</ServiceName><Region>us-east-1</Region>{used}"
        return self._said(_IAM, "GetAccessKeyLastUsed", f"<AccessKeyLastUsed>{text}</AccessKeyLastUsed>")

    def _said(self, namespace: str, action: str, result: str) -> Said:
        text = (
            f'<{action}Response xmlns="{namespace}"><{action}Result>{result}</{action}Result>'
            f"<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
        )
        return Said(200, text.encode(), {"Content_Type": "text/xml"})

    def _error(self, status: int, code: str, message: str) -> Said:
        text = (
            f'<ErrorResponse xmlns="{_STS}"><Error><Type>Sender</Type><Code>{code}</Code>'
            f"<Message>{escape(message)}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
        )
        return Said(status, text.encode(), {"Content_Type": "text/xml"})


def action_of(asked: Asked) -> str:
    """What a request asks for."""
    return parse_qs(asked.body.decode()).get("Action", [""])[0]


def _signed_at(asked: Asked) -> float:
    told = asked.headers.get("x-amz-date", "")
    return datetime.strptime(told, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
