"""Generated requests against the OpenAPI document: every answer is one that it declares.

Asked twice over: by nobody, and by the caller whom the route is for; with what fits the document
and with what does not. A few of each here, and many in the slow test.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import APIOperation

from tests.faces.world import Caller, World

warnings.filterwarnings("ignore", category=DeprecationWarning)
load_all_checks()

WORLD: Final = World()
CONFIG: Final = SchemathesisConfig()
# What is too large is refused before it is read: 413 is as good a refusal as those it knows.
_REFUSING: Final = CONFIG.projects.default.checks.negative_data_rejection
_REFUSING.expected_statuses = [*_REFUSING.expected_statuses, "413"]
SCHEMA: Final = schemathesis.openapi.from_asgi("/openapi.json", WORLD.app, config=CONFIG)
# Made here and not by the plugin, which would work out every case of every operation at collection.
Operation = APIOperation[Any, Any, Any, Any]
OPERATIONS: Final = [SCHEMA[path][method] for path, methods in SCHEMA.items() for method in methods]
BOUNDED: Final = settings(
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
BY_KEY: Final = ("/beat", "/complete", "/resume", "/v1/login")


def _fitting(path: str, method: str) -> Caller:
    """Who may call it, as far as a signature goes."""
    if path == "/v1/feed":
        return WORLD.guard
    if path.endswith(BY_KEY) or path.startswith("/egress") or (path, method) == ("/v1/sessions", "POST"):
        return WORLD.workload_with_key()
    return WORLD.operator


def _sign(case: Case[Any], caller: Caller | None) -> None:
    headers: Any = case.headers
    for name in ("DPoP", "Authorization"):
        headers.pop(name, None)
    if caller is not None:
        for name, value in caller.headers(case.method.upper(), case.formatted_path):
            headers[name] = value


by_everyone = pytest.mark.parametrize("known", [True, False], ids=["caller", "nobody"])
at_each = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)


@by_everyone
@at_each
def test_every_answer_is_declared(operation: Operation, known: bool) -> None:
    _ask(operation, known, examples=4 if known else 1)


@pytest.mark.slow
@by_everyone
@at_each
def test_every_one_of_many_answers_is_declared(operation: Operation, known: bool) -> None:
    _ask(operation, known, examples=100)


def _ask(operation: Operation, known: bool, *, examples: int) -> None:
    """That many cases of each kind: fitting ones, and ones that break the document somewhere."""
    for mode in _modes(operation, known):

        @settings(BOUNDED, max_examples=examples)
        @given(case=operation.as_strategy(mode))
        def answered(case: Case[Any]) -> None:
            _sign(case, _fitting(case.path, case.method.upper()) if known else None)
            answer = case.call()
            assert answer.status_code < 500
            case.validate_response(answer, excluded_checks=_excluded())

        answered()


def _modes(operation: Operation, known: bool) -> list[GenerationMode]:
    """A body can be wrong; a path is any text. Who is nobody is refused before either is read."""
    if known and operation.body:
        return [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    return [GenerationMode.POSITIVE]


def _excluded() -> list[Any]:
    """Checks that judge what the caller may see, which here depends on a fresh signature."""
    names = ("ignored_auth", "positive_data_acceptance", "use_after_free", "ensure_resource_availability")
    return [check for check in schemathesis.checks.CHECKS.get_all() if check.__name__ in names]
