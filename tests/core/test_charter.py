"""What a charter does not allow is refused; what exceeds a bound is refused, never rounded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sojourn.core.charter import Charter, Renewals, admit
from sojourn.core.errors import SojournError
from sojourn.core.ids import CharterId, OwnerId
from sojourn.core.scope import TargetGrant, collect
from sojourn.core.session import BeatRule

CHARTER = Charter(
    id=CharterId("cha_1"),
    version=1,
    name="demo",
    number=3,
    owner=OwnerId("team-shop"),
    clients=("deployer",),
    grants=collect([TargetGrant("shop-readonly", "shop", "readonly")]),
    default_duration=timedelta(minutes=2),
    longest=timedelta(minutes=30),
    beat=BeatRule(timedelta(seconds=10), timedelta(seconds=30)),
    renewals=Renewals(0, timedelta(minutes=10)),
    applied_at=datetime(2026, 11, 23, tzinfo=UTC),
    applied_by="test",
)


def test_naming_no_grant_means_all_of_them_for_the_default_time() -> None:
    admission = admit(CHARTER, "deployer", (), None)

    assert admission.grants == CHARTER.grants
    assert admission.duration == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("client", "grants", "duration", "code"),
    [
        ("stranger", (), None, "not_in_charter"),
        ("Deployer", (), None, "not_in_charter"),
        ("deployer", ("shop-admin",), None, "unknown_grant"),
        ("deployer", (), timedelta(minutes=30, microseconds=1), "too_long"),
        ("deployer", (), timedelta(0), "too_long"),
        ("deployer", (), timedelta(seconds=-5), "too_long"),
    ],
)
def test_what_the_charter_does_not_allow_is_refused(
    client: str, grants: tuple[str, ...], duration: timedelta | None, code: str
) -> None:
    with pytest.raises(SojournError) as refusal:
        admit(CHARTER, client, grants, duration)

    assert refusal.value.code == code


def test_the_longest_duration_itself_is_allowed() -> None:
    assert admit(CHARTER, "deployer", (), timedelta(minutes=30)).duration == timedelta(minutes=30)
