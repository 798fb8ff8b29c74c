"""Federation rules: whose tokens stand for a client that has no key of its own.

A rule names an issuer, our own address as audience, and exact values of claims. What is exact is
an id, never a name that can change hands; there are no patterns. A rule that would match more
than one repository, project, service account or workload is refused when it is written, not when
it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sojourn.core.errors import Invalid
from sojourn.core.spiffe_id import SpiffeId

ISSUER: Final = "issuer"
AUDIENCE: Final = "audience"
_LONGEST: Final = 256
_DIGITS: Final = re.compile(r"[1-9][0-9]{0,19}")
_UID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_REF: Final = re.compile(r"refs/(heads|tags)/[^\s~^:?*\[\\]+")
_CLAIM: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,63}")
_ISSUER: Final = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")
_ISSUER_V6: Final = re.compile(r"https://\[[0-9a-f:.]+\](:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a rule of one attestor must and may say, beside issuer and audience."""

    prefix: str  # of the facts that its attestor observes
    exact: Mapping[str, re.Pattern[str] | None]  # each must be there
    one_of: tuple[str, ...] = ()  # at least one of these, too
    may: Mapping[str, re.Pattern[str] | None] | None = None  # None: any claim
    issuer: str | None = None  # the usual one
    names: Mapping[str, str] = field(default_factory=dict)  # what is not exact, and what to write instead
    refused: Mapping[str, str] = field(
        default_factory=dict
    )  # facts that begin so, unless the rule names them


GITHUB: Final = Shape(
    prefix="github",
    exact={"repository_id": _DIGITS},
    one_of=("ref", "environment"),
    may={
        "ref": _REF,
        "environment": None,
        "repository_owner_id": _DIGITS,
        "event_name": None,
        "workflow_ref": None,
        "job_workflow_ref": None,
        "job_workflow_sha": None,
        "runner_environment": None,
        "actor_id": _DIGITS,
    },
    issuer="https://token.actions.githubusercontent.com",
    names={"repository": "repository_id", "repository_owner": "repository_owner_id", "sub": "repository_id"},
    refused={"event_name": "pull_request"},
)
GITLAB: Final = Shape(
    prefix="gitlab",
    exact={"project_id": _DIGITS},
    one_of=("ref_path", "environment"),
    may={
        "ref_path": _REF,
        "environment": None,
        "namespace_id": _DIGITS,
        "ref_protected": re.compile("true|false"),
        "environment_protected": re.compile("true|false"),
        "pipeline_source": None,
        "runner_environment": None,
        "user_id": _DIGITS,
    },
    issuer="https://gitlab.com",
    names={
        "project_path": "project_id",
        "namespace_path": "namespace_id",
        "ref": "ref_path",
        "sub": "project_id",
    },
    refused={"pipeline_source": "merge_request_event"},
)
KUBERNETES: Final = Shape(
    prefix="kubernetes",
    exact={"namespace": _LABEL, "service_account": _LABEL, "service_account_uid": _UID},
    may={},
    names={"sub": "service_account_uid"},
)
OIDC: Final = Shape(prefix="oidc", exact={}, may=None)
SPIFFE: Final = Shape(prefix="spiffe", exact={"id": None}, may={})

SHAPES: Final[Mapping[str, Shape]] = {
    "github_actions": GITHUB,
    "gitlab_ci": GITLAB,
    "kubernetes": KUBERNETES,
    "oidc": OIDC,
    "spiffe": SPIFFE,
}


def compile_rule(attestor: str, said: Mapping[str, str], *, audience: str) -> dict[str, str]:
    """The rule that `said` spells, whole and exact, for tokens made for `audience`.

    Raises:
        Invalid: code `unknown_attestor`; code `bad_rule`, saying what is missing or too broad.
    """
    shape = SHAPES.get(attestor)
    if shape is None:
        raise Invalid("unknown_attestor", f"expected one of {', '.join(SHAPES)}, got `{attestor[:40]}`")
    rule = dict(said)
    if rule.setdefault(AUDIENCE, audience) != audience:
        raise _bad(f"`{AUDIENCE}` must be `{audience}`: a token made for another serves nobody here")
    if attestor == "spiffe":
        return _spiffe(rule)
    if shape.issuer is not None:
        rule.setdefault(ISSUER, shape.issuer)
    _check_issuer(rule.get(ISSUER, ""))
    for name in sorted(rule.keys() - {ISSUER, AUDIENCE}):
        _check_member(shape, name, rule[name])
    _check_enough(shape, rule)
    return rule


def matches(shape: Shape, rule: Mapping[str, str], facts: Mapping[str, str]) -> str | None:
    """The first member of `rule` that `facts` do not bear out; None when all of them hold.

    What the shape refuses by default (a pull request) counts as the member that does not hold.
    """
    for name in sorted(rule.keys() - {ISSUER, AUDIENCE}):
        if facts.get(f"{shape.prefix}.{name}") != rule[name]:
            return name
    for name, start in shape.refused.items():
        if name not in rule and facts.get(f"{shape.prefix}.{name}", "").startswith(start):
            return name
    return None


def _check_issuer(issuer: str) -> None:
    if len(issuer) > _LONGEST or not (_ISSUER.fullmatch(issuer) or _ISSUER_V6.fullmatch(issuer)):
        raise _bad(f"`{ISSUER}` must be the https address of who signs, as tokens carry it")


def _check_member(shape: Shape, name: str, value: str) -> None:
    if name in shape.names:
        raise _bad(f"`{name}` can change hands or be set at will; match `{shape.names[name]}`")
    known = {**shape.exact, **(shape.may or {})}
    if name not in known and (shape.may is not None or not _CLAIM.fullmatch(name)):
        raise _bad(
            f"`{name[:64]}` is no member of such a rule; known: {', '.join(sorted(known)) or 'claims'}"
        )
    if not value or len(value) > _LONGEST or not value.isprintable():
        raise _bad(f"`{name}` must be 1 to {_LONGEST} printable characters")
    if "*" in value or "?" in value:
        raise _bad(f"`{name}` must be exact: `{value[:64]}` looks like a pattern")
    pattern = known.get(name)
    if pattern is not None and not pattern.fullmatch(value):
        raise _bad(f"`{name}` must look like {_expected(pattern)}, got `{value[:64]}`")


def _check_enough(shape: Shape, rule: Mapping[str, str]) -> None:
    if missing := sorted(shape.exact.keys() - rule.keys()):
        raise _bad(f"`{missing[0]}` is missing: without it the rule would match more than one workload")
    if shape.one_of and not set(shape.one_of) & rule.keys():
        raise _bad(f"expected {' or '.join(f'`{name}`' for name in shape.one_of)}: every branch would match")
    if shape.may is None and not rule.keys() - {ISSUER, AUDIENCE, "sub"}:
        raise _bad("expected at least one claim besides `sub`, with its exact value")


def _spiffe(rule: dict[str, str]) -> dict[str, str]:
    if unknown := sorted(rule.keys() - {"id", AUDIENCE}):
        raise _bad(f"`{unknown[0][:64]}` is no member of such a rule; known: id")
    identity = SpiffeId.parse(rule.get("id", ""), code="bad_rule")
    if not identity.path:
        raise _bad("`id` must name a workload, not a trust domain")
    return rule


def _expected(pattern: re.Pattern[str]) -> str:
    words = {
        _DIGITS: "a number, such as `123456`",
        _UID: "a UID, such as `3f2b1c9e-…`",
        _LABEL: "a lower-case name",
        _REF: "`refs/heads/main` or `refs/tags/v1`",
    }
    return words.get(pattern, f"`{pattern.pattern}`")


def _bad(message: str) -> Invalid:
    return Invalid("bad_rule", message)
