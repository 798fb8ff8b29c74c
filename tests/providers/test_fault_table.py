"""Every provider meets every fault of a target: a table, and the tests that it names.

The faults are those that a target or the way to it can have, by their numbers in the design's
catalogue. What is killed in F3 is the control plane, whatever the target: its errands are the same.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from sojourn.catalog import PROVIDERS
from tests.providers.clouds import CLOUDS
from tests.providers.kits import FAULTY

ROOT: Final = Path(__file__).parents[2]
FAULTS: Final[Mapping[str, str]] = {
    "F1": "killed at any step of an issue",
    "F2": "killed at any step of a destroy",
    "F3": "killed at random under load",
    "F4": "the answer is lost after its effect",
    "F23": "out of reach when it is to destroy",
    "F24": "slow, or silent after it accepted",
    "F25": "a destroy is done in part",
    "F26": "it says that it is gone, and it works on",
    "F27": "a request is held back and lands after the end",
    "F28": "the admin's credential is replaced",
}

_KILLED: Final = "tests/crash/test_kill_under_load.py::test_five_kills_under_load_lose_nothing"
_ISSUE: Final = "test_an_issue_cut_at_any_message_leaves_nothing_the_reaper_does_not_find"
_DESTROY: Final = "test_a_destroy_cut_at_any_message_can_be_repeated"
_SERVERS: Final = {
    "F1": _ISSUE,
    "F2": _DESTROY,
    "F4": "test_an_issue_whose_answer_is_lost_is_found_and_destroyed",
    "F23": "test_a_target_out_of_reach_is_never_taken_for_an_absence",
    "F24": "test_a_target_that_hangs_ends_each_call_at_its_own_deadline",
    "F25": "test_a_destroy_that_stops_half_way_has_refused_and_says_what_is_left",
    "F26": "test_a_credential_that_comes_back_is_seen",
    "F27": "test_what_is_held_back_beyond_its_deadline_never_lands",
    "F28": "test_a_replaced_admin_password_heals_refused_logins",
}
_ANY_REQUEST: Final = "test_a_destroy_that_fails_at_any_request_is_never_taken_for_done_and_can_be_repeated"
_APIS: Final = {
    "F1": "test_an_issue_that_fails_at_any_request_leaves_nothing_the_reaper_does_not_find",
    "F2": _ANY_REQUEST,
    "F4": "test_an_issue_that_fails_at_any_request_leaves_nothing_the_reaper_does_not_find",
    "F23": "test_a_cloud_out_of_reach_is_never_taken_for_an_absence",
    "F24": "test_a_cloud_that_hangs_ends_each_call_at_its_own_deadline",
    "F25": _ANY_REQUEST,
    "F27": "test_a_request_that_lands_after_the_end_is_found_or_ends_by_itself",
    "F28": "test_a_replaced_admin_credential_heals_refused_calls",
}
_LIES: Final = {
    "aws_sts": "aws_sts/test_aws_sts.py::test_a_denial_that_was_answered_and_not_made_is_made_again",
    "github_app": "github_app/test_github_app.py::test_a_revocation_that_lies_is_found_out_by_use",
    "kubernetes_token": (
        "kubernetes_token/test_kubernetes_token.py::test_a_deletion_that_lies_is_found_out_by_looking"
    ),
    "openbao": "openbao/test_simulated.py::test_a_removal_that_lies_is_found_out_by_looking",
    "generic_http": "generic_http/test_conformance.py::test_a_delete_that_lies_is_found_out_by_asking",
}
_SSH_END: Final = (
    "test_faults.py::test_an_end_that_dies_at_any_step_is_not_taken_for_done_and_can_be_repeated"
)
_SSH_ADMIT: Final = (
    "test_faults.py::test_an_admission_that_dies_at_any_step_leaves_nothing_the_reaper_does_not_find"
)
_SSH: Final = {
    "F1": _SSH_ADMIT,
    "F2": _SSH_END,
    "F4": _SSH_ADMIT,
    "F23": "test_faults.py::test_a_host_out_of_reach_is_never_taken_for_an_absence",
    "F24": "test_cutting.py::test_a_host_that_does_not_answer_is_given_up_in_time",
    "F25": _SSH_END,
    "F26": "test_faults.py::test_an_end_that_is_answered_and_not_done_is_found_out_by_looking",
    "F27": "test_cutting.py::test_a_late_admission_is_refused_by_the_hosts_own_clock",
    "F28": "test_faults.py::test_a_replaced_authority_heals_refused_orders",
}
_OURS_ALONE: Final = "http_key/test_conformance.py::test_an_end_needs_nothing_of_the_api"
MOOT: Final[Mapping[tuple[str, str], str]] = {
    ("http_key", fault): "nothing is made at the API: the right to use the key is ours alone"
    for fault in ("F1", "F2", "F4", "F25", "F26", "F27")
}


def table() -> dict[tuple[str, str], str]:
    """The test of each provider and fault."""
    found = {(name, "F3"): _KILLED for name in PROVIDERS}
    for name in FAULTY:
        found |= {
            (name, fault): f"tests/providers/test_faults.py::{test}" for fault, test in _SERVERS.items()
        }
    for name in CLOUDS:
        found |= {
            (name, fault): f"tests/providers/test_cloud_faults.py::{test}" for fault, test in _APIS.items()
        }
        found[name, "F26"] = f"tests/providers/{_LIES[name]}"
    found |= {("ssh", fault): f"tests/providers/ssh/{test}" for fault, test in _SSH.items()}
    found |= {("http_key", fault): f"tests/providers/{_OURS_ALONE}" for fault in ("F23", "F24", "F28")}
    return found


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_meets_every_fault(name: str) -> None:
    absent = {fault for fault in FAULTS if (name, fault) not in table() and (name, fault) not in MOOT}

    assert not absent, f"`{name}` has no test for {sorted(absent)}"


def test_the_table_names_tests_that_there_are() -> None:
    named = set(table().values())

    assert {one for one in named if not _exists(one)} == set()
    assert not _exists("tests/providers/test_faults.py::test_that_is_not_there")


def test_nothing_is_moot_that_has_a_test() -> None:
    assert not MOOT.keys() & table().keys()
    assert {fault for _, fault in table()} == set(FAULTS)


def _exists(test: str) -> bool:
    place, _, name = test.partition("::")
    return name in _functions(place)


@cache
def _functions(place: str) -> frozenset[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse((ROOT / place).read_text())
    return frozenset(one.name for one in tree.body if isinstance(one, kinds))
