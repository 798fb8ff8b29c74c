"""Generated requests against the OpenAPI document: every answer is one that it declares.

Asked twice over: by nobody, and by the caller whom the route is for. Bounded, so
that the whole of it takes well under a minute.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import load_all_checks

from tests.faces.world import Caller, World

warnings.filterwarnings("ignore", category=DeprecationWarning)
load_all_checks()

WORLD: Final = World()
EXAMPLES: Final = 5  # per operation and caller
SCHEMA: Final = schemathesis.openapi.from_asgi("/openapi.json", WORLD.app)
BOUNDED: Final = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
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


@pytest.mark.parametrize("known", [True, False], ids=["caller", "nobody"])
@SCHEMA.parametrize()
@BOUNDED
def test_every_answer_is_declared(known: bool, case: Case[Any]) -> None:
    _sign(case, _fitting(case.path, case.method.upper()) if known else None)

    answer = case.call()

    assert answer.status_code < 500
    case.validate_response(answer, excluded_checks=_excluded())


def _excluded() -> list[Any]:
    """Checks that judge what the caller may see, which here depends on a fresh signature."""
    names = ("ignored_auth", "positive_data_acceptance", "use_after_free", "ensure_resource_availability")
    return [check for check in schemathesis.checks.CHECKS.get_all() if check.__name__ in names]
