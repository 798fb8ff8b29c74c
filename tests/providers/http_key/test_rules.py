"""What a grant covers is judged on one spelling of the path; what has two is refused."""

from __future__ import annotations

import pytest

from sojourn.core.errors import Invalid, Refused
from sojourn.providers.http_key.rules import read_rules, split

RULES = read_rules({"methods": ["GET", "POST"], "paths": ["/v1/orders", "/v1/orders/*/lines", "/files/**"]})


@pytest.mark.parametrize(
    "path",
    ["/v1/orders", "/v1/orders/42/lines", "/files/", "/files/a", "/files/a/b/c", "/v1/orders/a%20b/lines"],
)
def test_what_is_covered_passes(path: str) -> None:
    RULES.check("GET", path)


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/orders/", "/v1/orders/42", "/v1/orders//lines", "/v2/orders", "/v1/orders/1/2/lines"],
)
def test_what_is_not_covered_is_refused(path: str) -> None:
    with pytest.raises(Refused):
        RULES.check("GET", path)


@pytest.mark.parametrize("method", ["DELETE", "get", "HEAD", "CONNECT", ""])
def test_another_method_is_refused(method: str) -> None:
    with pytest.raises(Refused, match="not_allowed_there"):
        RULES.check(method, "/v1/orders")


@pytest.mark.parametrize(
    "path",
    [
        "files/a", "", "//files", "/files/../v1/admin", "/files/./a", "/files//a", "/files/%2e%2e/admin",
        "/files/%2E./x", "/files/a%2fb", "/files/a%5cb", "/files/a\\b", "/files/%00", "/files/%0a",
        "/files/a%3bx", "/files/a;x=1", "/files/%", "/files/%2", "/files/%zz", "/files/a b", "/files/ä",
        "/files/%41",
        "/files/a?b", "/files/a#b", "/files/%25252e", "/files/%3f", "/files/%23", "/files/\t", "/files/%7e",
    ],
)  # fmt: skip
def test_a_path_with_two_readings_is_refused(path: str) -> None:
    with pytest.raises(Refused, match="ambiguous_path"):
        split(path)


@pytest.mark.parametrize(
    "template",
    [
        {},
        {"methods": ["GET"]},
        {"methods": [], "paths": ["/a"]},
        {"methods": ["GET"], "paths": []},
        {"methods": ["TRACE"], "paths": ["/a"]},
        {"methods": "GET", "paths": ["/a"]},
        {"methods": ["GET"], "paths": ["a"]},
        {"methods": ["GET"], "paths": ["/**"]},
        {"methods": ["GET"], "paths": ["/a*"]},
        {"methods": ["GET"], "paths": ["/**/a"]},
        {"methods": ["GET"], "paths": ["/../a"]},
        {"methods": ["GET"], "paths": [7]},
        {"methods": ["GET"], "paths": ["/a"], "hosts": ["x"]},
    ],
)
def test_a_malformed_template_is_refused(template: dict[str, object]) -> None:
    with pytest.raises(Invalid, match="bad_template"):
        read_rules(template)
