"""`client add --github` and its like: what is typed becomes a rule, or is refused before it is sent."""

from __future__ import annotations

import pytest

from sojourn.cli.federation import rule_of
from sojourn.core.errors import Invalid

PLATFORMS = {"github_actions": False, "gitlab_ci": False, "kubernetes": False, "oidc": False, "spiffe": False}


def test_a_platform_and_its_claims_become_a_rule() -> None:
    typed = rule_of(
        {**PLATFORMS, "oidc": True}, "https://idp.example", ["email=job@example.org", "level=a=b"]
    )

    assert typed == {
        "attestor": "oidc",
        "rule": {"email": "job@example.org", "level": "a=b", "issuer": "https://idp.example"},
    }


def test_without_a_platform_there_is_no_rule() -> None:
    assert rule_of(PLATFORMS, None, None) == {}


@pytest.mark.parametrize(
    ("platforms", "issuer", "match", "code"),
    [
        ({}, "https://idp.example", None, "usage_platform"),
        ({}, None, ["a=b"], "usage_platform"),
        ({"oidc": True, "spiffe": True}, None, None, "usage_platform"),
        ({"oidc": True}, None, ["email"], "usage_match"),
        ({"oidc": True}, None, ["=x"], "usage_match"),
        ({"oidc": True}, None, ["email="], "usage_match"),
        ({"oidc": True}, None, ["email=a", "email=b"], "usage_match"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    platforms: dict[str, bool], issuer: str | None, match: list[str] | None, code: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        rule_of({**PLATFORMS, **platforms}, issuer, match)
    assert refusal.value.code == code
