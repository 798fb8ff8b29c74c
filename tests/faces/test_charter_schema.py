"""The published schema and the parser agree, and what is shown can be applied again."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import jsonschema_rs
import pytest

from sojourn.core.charter import Charter
from sojourn.core.errors import Invalid
from sojourn.core.ids import CharterId
from sojourn.faces.http import charter_views
from sojourn.faces.http.charter_schemas import published
from sojourn.services._charter_document import read_charter

WHOLE: Final[dict[str, Any]] = {
    "name": "release",
    "owner": "team-shop",
    "purpose": "put a release into production",
    "clients": ["deployer"],
    "openers": [{"client": "release", "selectors": {"github.repository_id": "42"}}],
    "grants": {
        "shop": {"target": "shop", "template": "readonly", "at_least": "A"},
        "stock": {"audience": "https://stock.example", "actions": ["stock.read", "stock.write"]},
    },
    "phases": [{"name": "build", "grants": ["shop", "stock"]}, {"name": "tidy", "grants": []}],
    "duration": {"default": "5m", "longest": "15m"},
    "idle": "2m",
    "beat": {"every": "5s", "missed_after": "10s", "suspend_first": True, "evidence": "fresh"},
    "renewals": {"times": 1, "by": "5m"},
    "pins": [{"fact": "github.sha", "on_drift": "suspend"}],
    "budget": {"calls": 100, "rows": 1000, "bytes": 1, "cost": 7},
    "children": {"depth": 2, "fan_out": 3},
    "window": {"calendar": "change", "blackout": "freeze", "on_close": "suspend"},
    "approval": {"approvals": 1, "approvers": ["owner"], "answer_within": "30m", "valid_for": "1h"},
    "ends_on": ["github"],
    "break_glass": False,
}
_ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**60,
    "",
    "x",
    "10m",
    "A b\n",
    [],
    [1],
    {},
    {"x": 1},
    ["x"],
    "\x00",
)
# What a JSON Schema cannot say: how members depend on each other, and spans beyond their bounds.
_ONLY_THE_PARSER: Final = ("grants", "phases", "duration", "beat", "children", "approval", "break_glass")


def read(document: dict[str, Any]) -> Charter:
    return read_charter(
        document, CharterId("cha_1"), number=1, by="ada", now=datetime(2026, 1, 1, tzinfo=UTC)
    )


def test_every_member_is_read_and_shown_again() -> None:
    shown = charter_views.document(read(WHOLE))

    assert shown == {name: one for name, one in WHOLE.items() if one is not False}
    assert read(shown) == read(WHOLE)


def test_a_charter_of_four_members_is_enough() -> None:
    charter = read({"name": "demo", "owner": "ops", "clients": ["ci"], "grants": {}})

    assert (charter.beat.evidence, charter.children.depth, charter.idle) == ("key", 0, None)
    assert read(charter_views.document(charter)) == charter


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"phases": [{"name": "a", "grants": ["shop"]}, {"name": "b", "grants": ["stock"]}]}, "phases"),
        ({"phases": [{"name": "a", "grants": ["nothing"]}]}, "phases"),
        ({"phases": [{"name": "a", "grants": ["shop"]}, {"name": "a", "grants": ["shop"]}]}, "phases"),
        ({"pins": [{"fact": "x"}, {"fact": "x"}]}, "pins"),
        ({"children": {"depth": 1}}, "children"),
        ({"children": {"depth": 9, "fan_out": 1}}, "depth"),
        ({"approval": {"approvals": 2, "approvers": ["ada", "ada"]}}, "approval.approvers"),
        ({"duration": {"default": "20m", "longest": "10m"}}, "duration"),
        ({"duration": {"default": "1m", "longest": "25h"}}, "longest"),
        ({"beat": {"every": "10s", "missed_after": "19s"}}, "beat.missed_after"),
        ({"openers": [{"client": "x", "selectors": {}}]}, "openers.selectors"),
        (
            {"break_glass": True, "children": {}, "renewals": {}, "duration": {"longest": "16m"}},
            "break_glass",
        ),
        ({"break_glass": True, "renewals": {}}, "break_glass"),
        ({"break_glass": True, "children": {}}, "break_glass"),
        ({"window": None}, "window"),
        ({"budget": {"calls": 0}}, "calls"),
        ({"budget": {"calls": True}}, "calls"),
        ({"surprise": 1}, "charter"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name(changes: dict[str, Any], member: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read(WHOLE | changes)

    assert refusal.value.code == "bad_charter"
    assert refusal.value.message.startswith(f"`{member}`")


def test_neither_clients_nor_openers_is_refused() -> None:
    with pytest.raises(Invalid, match="clients"):
        read({"name": "demo", "owner": "ops", "grants": {}})


def test_schema_and_parser_agree_on_three_thousand_broken_charters() -> None:
    schema = jsonschema_rs.validator_for(published())
    chosen = random.Random(7)
    refused = agreed = 0
    for _ in range(3000):
        document, place = _broken(chosen)
        by_parser, by_schema = not _reads(document), not schema.is_valid(document)
        refused += by_parser
        if by_schema:
            assert by_parser, f"only the schema refuses `{place}`: {document}"
        elif by_parser:
            assert place.partition(".")[0] in _ONLY_THE_PARSER, (
                f"only the parser refuses `{place}`: {document}"
            )
        agreed += by_schema == by_parser

    assert schema.is_valid(WHOLE)
    assert refused > 1000 and agreed > 2500


def _reads(document: dict[str, Any]) -> bool:
    try:
        read(document)
    except Invalid:
        return False
    return True


def _broken(chosen: random.Random) -> tuple[dict[str, Any], str]:
    document = copy.deepcopy(WHOLE)
    place, holder, name = chosen.choice(list(_places(document, "")))
    if chosen.random() < 0.3:
        del holder[name]
    else:
        holder[name] = copy.deepcopy(chosen.choice(_ODD))
    return document, place


def _places(value: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in list(pairs):
        place = f"{path}.{name}" if path else str(name)
        yield place, value, name
        yield from _places(one, place)
