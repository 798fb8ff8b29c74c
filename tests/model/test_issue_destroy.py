"""Nobody can bring about a credential that the record calls gone; and each weaker rule lets them."""

from __future__ import annotations

from tests.model.issue_destroy import Rules, explore


def test_no_interleaving_leaves_an_orphan() -> None:
    found = explore(Rules())

    assert found.orphans == 0, found.shortest


def test_destroyed_is_reached_so_the_rule_is_not_empty() -> None:
    found = explore(Rules())

    assert found.finished > 0
    assert found.states > 50


def test_believing_the_first_absence_leaves_orphans() -> None:
    found = explore(Rules(absence_is_enough=True))

    assert found.orphans > 0
    assert found.shortest.index("observed absent") < found.shortest.index("destroyed")


def test_judging_an_absence_by_what_became_known_after_it_leaves_orphans() -> None:
    found = explore(Rules(judged_afterwards=True))

    assert found.orphans > 0
    # The issue landed after the look; its answer made the look seem to count.
    assert found.shortest.index("observed absent") < found.shortest.index("settled")


def test_sending_a_handle_twice_leaves_orphans() -> None:
    found = explore(Rules(sends=2))

    assert found.orphans > 0
    assert found.shortest.count("issue sent") == 2


def test_a_target_that_takes_late_issues_leaves_orphans() -> None:
    found = explore(Rules(target_checks_fence=False))

    assert found.orphans > 0
    assert "the fence passes" in found.shortest
