"""The pages that are made from the code are current, and would notice a change."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest
from tests.docs.reference_pages import pages
from tests.docs.state_diagrams import drawing


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_a_page_made_from_the_code_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == pages()[path], "run scripts/reference"


def test_a_new_arrow_changes_the_drawing() -> None:
    class Light(StrEnum):
        OFF = "off"
        ON = "on"

    before = drawing(Light.OFF, {Light.OFF: frozenset({Light.ON}), Light.ON: frozenset()})
    after = drawing(Light.OFF, {Light.OFF: frozenset({Light.ON}), Light.ON: frozenset({Light.OFF})})

    assert before == "stateDiagram-v2\n    [*] --> off\n    off --> on\n    on --> [*]"
    assert after == "stateDiagram-v2\n    [*] --> off\n    off --> on\n    on --> off"
