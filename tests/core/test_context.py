"""What was observed at the opening is compared with what is seen now."""

from __future__ import annotations

import pytest

from sojourn.core.context import Drift, compare, require_unattested, tell
from sojourn.core.errors import Invalid

OPENED = {"github.run_id": "1", "github.sha": "aa", "github.actor": "ada"}


def test_only_held_facts_drift() -> None:
    seen = {"github.run_id": "2", "github.sha": "bb", "github.actor": "eve"}

    drifts = compare(OPENED, seen, {"github.sha", "github.run_id"})

    assert drifts == (Drift("github.run_id", "1", "2"), Drift("github.sha", "aa", "bb"))


def test_a_fact_that_is_gone_or_new_has_drifted() -> None:
    assert compare({"a.x": "1"}, {}, {"a.x"}) == (Drift("a.x", "1", None),)
    assert compare({}, {"a.x": "1"}, {"a.x"}) == (Drift("a.x", None, "1"),)
    assert compare({}, {}, {"a.x"}) == ()


def test_a_drift_names_the_fact_and_both_values() -> None:
    assert tell(compare(OPENED, {**OPENED, "github.sha": "bb"}, {"github.sha"})) == (
        "`github.sha` was `aa`, is `bb`"
    )
    assert "absent" in tell(compare(OPENED, {}, {"github.sha"}))


@pytest.mark.parametrize("name", ["github.run_id", "kubernetes.pod_uid", "spiffe.id", "oidc.sub"])
def test_nobody_says_of_himself_what_attestors_observe(name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        require_unattested({"host": "build-7", name: "x"})

    assert refusal.value.code == "attested_name"


def test_other_names_may_be_said() -> None:
    require_unattested({"host": "build-7", "image.tag": "v1", "github": "yes"})
