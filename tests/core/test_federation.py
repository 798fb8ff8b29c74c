"""A federation rule is exact, or it is refused with the member that is not."""

from __future__ import annotations

import pytest

from sojourn.core.errors import Invalid
from sojourn.core.federation import GITHUB, GITLAB, SHAPES, compile_rule, matches

US = "https://sojourn.example"
UID = "8a1c2b3d-0000-4000-8000-1234567890ab"
GOOD = {
    "github_actions": {"repository_id": "42", "environment": "production"},
    "gitlab_ci": {"issuer": "https://gitlab.example", "project_id": "7", "ref_path": "refs/heads/main"},
    "kubernetes": {
        "issuer": "https://kubernetes.default.svc",
        "namespace": "shop",
        "service_account": "migrator",
        "service_account_uid": UID,
    },
    "oidc": {"issuer": "https://idp.example/", "sub": "job", "email": "job@example.org"},
    "spiffe": {"id": "spiffe://example.org/ci/deploy"},
}


@pytest.mark.parametrize("attestor", SHAPES)
def test_an_exact_rule_is_taken_for_our_own_address_as_audience(attestor: str) -> None:
    rule = compile_rule(attestor, GOOD[attestor], audience=US)

    assert rule["audience"] == US
    assert GOOD[attestor].items() <= rule.items()


def test_the_issuer_of_github_is_known() -> None:
    rule = compile_rule("github_actions", GOOD["github_actions"], audience=US)

    assert rule["issuer"] == "https://token.actions.githubusercontent.com"


BROAD = [
    ("github_actions", {"repository_id": None}, "repository_id"),
    ("github_actions", {"environment": None}, "environment"),
    ("github_actions", {"repository": "octo-org/shop"}, "repository"),
    ("github_actions", {"sub": "repo:octo-org/shop:ref:refs/heads/main"}, "sub"),
    ("github_actions", {"repository_id": "*"}, "repository_id"),
    ("github_actions", {"repository_id": "042"}, "repository_id"),
    ("github_actions", {"environment": "prod-*"}, "environment"),
    ("github_actions", {"ref": "refs/heads/*"}, "ref"),
    ("github_actions", {"ref": "main"}, "ref"),
    ("github_actions", {"environment": ""}, "environment"),
    ("github_actions", {"environment": "a\nb"}, "environment"),
    ("github_actions", {"audience": "https://github.com/octo-org"}, "audience"),
    ("github_actions", {"repo_property_team": "x"}, "repo_property_team"),
    ("gitlab_ci", {"project_id": None}, "project_id"),
    ("gitlab_ci", {"ref_path": None}, "ref_path"),
    ("gitlab_ci", {"project_path": "shop/api"}, "project_path"),
    ("gitlab_ci", {"ref": "main"}, "ref"),
    ("gitlab_ci", {"issuer": "http://gitlab.example"}, "issuer"),
    ("gitlab_ci", {"issuer": "https://user@gitlab.example"}, "issuer"),
    ("gitlab_ci", {"issuer": "https://gitlab.example?x"}, "issuer"),
    ("kubernetes", {"issuer": None}, "issuer"),
    ("kubernetes", {"namespace": None}, "namespace"),
    ("kubernetes", {"service_account": None}, "service_account"),
    ("kubernetes", {"service_account_uid": None}, "service_account_uid"),
    ("kubernetes", {"service_account_uid": "migrator"}, "service_account_uid"),
    ("kubernetes", {"audience": "https://kubernetes.default.svc"}, "audience"),
    ("oidc", {"issuer": None}, "issuer"),
    ("oidc", {"email": None}, "claim"),
    ("oidc", {"email": "*@example.org"}, "email"),
    ("oidc", {"e mail": "x"}, "e mail"),
    ("spiffe", {"id": None}, "SPIFFE"),
    ("spiffe", {"id": "spiffe://example.org"}, "workload"),
    ("spiffe", {"id": "spiffe://example.org/ci/*"}, "SPIFFE"),
    ("spiffe", {"id": "spiffe://Example.org/ci"}, "SPIFFE"),
    ("spiffe", {"issuer": "https://idp.example"}, "issuer"),
]


@pytest.mark.parametrize(("attestor", "change", "named"), BROAD)
def test_a_rule_that_is_not_exact_is_refused(
    attestor: str, change: dict[str, str | None], named: str
) -> None:
    said = {k: v for k, v in {**GOOD[attestor], **change}.items() if v is not None}

    with pytest.raises(Invalid) as refusal:
        compile_rule(attestor, said, audience=US)

    assert refusal.value.code == "bad_rule" and named in refusal.value.message


def test_an_attestor_without_rules_is_refused() -> None:
    with pytest.raises(Invalid) as refusal:
        compile_rule("private_key_jwt", {}, audience=US)

    assert refusal.value.code == "unknown_attestor"


def test_every_member_must_match_and_the_first_that_does_not_is_named() -> None:
    rule = compile_rule("github_actions", {**GOOD["github_actions"], "ref": "refs/heads/main"}, audience=US)
    facts = {
        "github.repository_id": "42",
        "github.environment": "production",
        "github.ref": "refs/heads/main",
        "github.event_name": "push",
    }

    assert matches(GITHUB, rule, facts) is None
    for name in ("repository_id", "environment", "ref"):
        assert matches(GITHUB, rule, {**facts, f"github.{name}": "other"}) == name
        assert matches(GITHUB, rule, {k: v for k, v in facts.items() if k != f"github.{name}"}) == name


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target", "pull_request_review"])
def test_a_pull_request_is_refused_unless_the_rule_names_it(event: str) -> None:
    facts = {
        "github.repository_id": "42",
        "github.environment": "production",
        "github.event_name": event,
    }
    rule = compile_rule("github_actions", GOOD["github_actions"], audience=US)
    explicit = compile_rule("github_actions", {**GOOD["github_actions"], "event_name": event}, audience=US)

    assert matches(GITHUB, rule, facts) == "event_name"
    assert matches(GITHUB, explicit, facts) is None


def test_a_merge_request_is_refused_unless_the_rule_names_it() -> None:
    rule = compile_rule("gitlab_ci", {"project_id": "7", "environment": "review"}, audience=US)
    facts = {"gitlab.project_id": "7", "gitlab.environment": "review"}

    assert matches(GITLAB, rule, {**facts, "gitlab.pipeline_source": "push"}) is None
    assert matches(GITLAB, rule, {**facts, "gitlab.pipeline_source": "merge_request_event"}) is not None
