"""How bad a standing credential is, what it touches, and what would replace it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sojourn.core.ids import CHARTER, CharterId
from sojourn.core.standing import SHORT, UNUSED, Severity, Standing, controls, replacement, severity
from sojourn.services._charter_document import read_charter
from tests.rig.store import an_id

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PLAIN = Standing("postgresql_role", "target shop", "legacy")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (PLAIN, Severity.MEDIUM),
        (replace(PLAIN, exposed=True), Severity.HIGH),
        (replace(PLAIN, last_used_at=NOW - UNUSED - timedelta(days=1)), Severity.HIGH),
        (replace(PLAIN, last_used_at=NOW - timedelta(days=1)), Severity.MEDIUM),
        (replace(PLAIN, privileged=True), Severity.CRITICAL),
        (replace(PLAIN, privileged=True, expires_at=NOW + SHORT), Severity.LOW),
        (replace(PLAIN, expires_at=NOW + 2 * SHORT), Severity.MEDIUM),
    ],
)
def test_severity(found: Standing, expected: Severity) -> None:
    assert severity(found, NOW) is expected


def test_safe_storage_is_not_governance() -> None:
    """A long-lived secret in a vault is found like any other: nothing ends it (control C1)."""
    vaulted = replace(PLAIN, exposed=False)

    assert severity(vaulted, NOW) is Severity.MEDIUM
    assert "NHI7:2025" in controls(vaulted, NOW)


def test_each_property_touches_its_own_controls() -> None:
    everything = replace(PLAIN, exposed=True, privileged=True, last_used_at=NOW - timedelta(days=400))

    assert set(controls(everything, NOW)) == {
        "PR.AA-01", "PR.AA-05", "NHI7:2025", "IA-5", "NHI2:2025", "IA-5(7)", "NHI5:2025", "AC-6",
        "NHI1:2025", "AC-2(3)",
    }  # fmt: skip
    assert controls(replace(PLAIN, expires_at=NOW), NOW) == ("PR.AA-01", "PR.AA-05")


@pytest.mark.parametrize("name", ["legacy", "Ädmin '; DROP", "x" * 300, "…", "a@b:c/d"])
def test_the_replacement_is_a_charter_that_can_be_read(name: str) -> None:
    document = replacement(replace(PLAIN, name=name))

    charter = read_charter(document, CharterId(an_id(CHARTER, 1)), number=1, by="test", now=NOW)

    assert charter.longest <= timedelta(hours=1)
