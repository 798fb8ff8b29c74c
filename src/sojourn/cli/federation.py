"""What may be typed to register a workload whose platform vouches for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from cyclopts import Parameter

from sojourn.core.errors import Invalid

Platform = Annotated[bool, Parameter(negative="")]
Issuer = Annotated[str | None, Parameter(help="Whose tokens these are; GitHub's and GitLab's are known.")]
Match = Annotated[
    Sequence[str] | None,
    Parameter(help="An exact claim, NAME=VALUE; again for more.", negative=""),
]


def rule_of(
    platforms: Mapping[str, bool], issuer: str | None, match: Sequence[str] | None
) -> dict[str, object]:
    """The members `attestor` and `rule` of a registration; none when no platform was named.

    Raises:
        Invalid: codes `usage_platform` and `usage_match`.
    """
    chosen = [name for name, asked in platforms.items() if asked]
    if not chosen:
        if issuer or match:
            raise Invalid("usage_platform", "`--issuer` and `--match` go with a platform, such as `--github`")
        return {}
    if len(chosen) > 1:
        raise Invalid("usage_platform", "expected one platform: a client has one rule")
    rule = dict(_pair(one) for one in match or ())
    if len(rule) != len(match or ()):
        raise Invalid("usage_match", "a claim is matched twice")
    return {"attestor": chosen[0], "rule": {**rule, **({"issuer": issuer} if issuer else {})}}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise Invalid("usage_match", f"expected `--match NAME=VALUE`, got `{text[:80]}`")
    return name, value
