"""The table of errors and the OpenAPI document say what the code does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.core import errors
from sojourn.faces.http.app import ROUTES
from sojourn.faces.http.meanings import MEANINGS
from sojourn.faces.http.problems import STATUS_OF_CLASS, STATUS_OF_CODE
from tests.faces.reference_pages import ROOT, pages
from tests.faces.world import World

CLASSES = {kind.__name__: status for kind, status in STATUS_OF_CLASS}
# Raised and caught on this side of the wire only: the edge, the command, the verifier.
EDGE = ("guard", "client", "cli", "ledger", "testing")


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_the_reference_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == pages()[path], "run scripts/openapi"


def test_every_code_that_is_raised_is_documented_with_its_status() -> None:
    wrong = {
        (code, where)
        for code, status, where in _raised()
        if code not in MEANINGS
        or (MEANINGS[code][0] != STATUS_OF_CODE.get(code, status) and code not in TWO_FORMS)
    }

    assert not wrong


# Raised under two classes, or told in OAuth's form: the table gives the status callers mostly see.
TWO_FORMS = frozenset(
    {
        "unsupported_grant_type",
        "unknown_provider",
        "bad_token",
        "session_ended",
        "unknown_target",
        "bad_handle",
        "bad_target_id",
        "too_long",
        "unknown_grant",
        "wrong_state",
    }
)


def _is_documented(code: str, status: int) -> bool:
    if code not in MEANINGS:
        return False
    return code in TWO_FORMS or MEANINGS[code][0] == STATUS_OF_CODE.get(code, status)


def _raised() -> Iterator[tuple[str, int, str]]:
    source = ROOT / "src" / "sojourn"
    for path in sorted(source.rglob("*.py")):
        if path.relative_to(source).parts[0] in EDGE:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
                continue
            code = node.args[0]
            if node.func.id in CLASSES and isinstance(code, ast.Constant) and isinstance(code.value, str):
                yield code.value, CLASSES[node.func.id], str(path.relative_to(source))


def test_every_class_of_error_has_a_status() -> None:
    assert {kind for kind, _ in STATUS_OF_CLASS} == set(errors.SojournError.__subclasses__())


def test_every_route_of_the_table_is_in_the_document_with_its_security() -> None:
    document = World().app.openapi()

    for row in ROUTES:
        operation = document["paths"][row.path.replace(":path", "")][row.method.lower()]
        assert ("security" in operation) == (row.who.value != "anybody"), row.path
        assert any(status.isdigit() and int(status) >= 400 for status in operation["responses"])


def test_no_route_exists_outside_the_table() -> None:
    known = {row.path for row in ROUTES} | {"/openapi.json"}

    assert {getattr(route, "path", "") for route in World().app.routes} == known
