"""A description is read strictly, and refused where its class could not be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.providers.generic_http import GenericHttp
from sojourn.providers.generic_http.templating import fill_header, fill_json, fill_path, find
from tests.providers.http_rig import ShiftedClock
from tests.rig.key_service import description

Change = Callable[[dict[str, Any]], object]


def _set(member: str, value: object, call: str | None = None) -> Change:
    def change(api: dict[str, Any]) -> None:
        (api if call is None else api[call])[member] = value

    return change


def _without(*members: str) -> Change:
    def change(api: dict[str, Any]) -> None:
        for member in members:
            del api[member]

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_set("colour", "red"), "colour"),
        (_set("base", "http://example.test"), "loopback"),
        (_set("base", "https://u:p@example.test"), "host"),
        (_set("base", "ftp://example.test"), "https"),
        (_set("revocation_class", "E"), "revocation_class"),
        (_set("path", "/v1/{handle", "create"), "brace"),
        (_set("path", "v1/keys", "create"), "path"),
        (_set("path", "/v1/../admin", "create"), "path"),
        (_set("path", "/v1/keys?x=1", "create"), "path"),
        (_set("path", "/v1/keys/{secret}", "delete"), "never in an address"),
        (_set("path", "/v1/keys/{template.scope}", "delete"), "template.scope"),
        (_set("body", {"name": "fixed", "until": "{expires_at}"}, "create"), "{handle}"),
        (_set("body", {"name": "{handle}", "x": "{nonsense}"}, "create"), "nonsense"),
        (_set("body", {"{handle}": "x"}, "create"), "placeholder"),
        (_set("id", "key/id", "create"), "create.id"),
        (_set("success", [302], "create"), "success"),
        (_set("method", "TRACE", "create"), "method"),
        (_set("headers", {"Host": "elsewhere"}, "create"), "Host"),
        (_set("headers", {"X\r\nY": "1"}, "create"), "headers"),
        (_set("keep_secret", False), "secret"),
        (_set("connection", {"id": "{id}"}), "connection"),
        (_without("check"), "check"),
        (_without("delete"), "delete"),
        (_without("probe"), "probe"),
    ],
)
def test_a_description_that_cannot_be_kept_is_refused_by_member(change: Change, named: str) -> None:
    api = description("https://api.example.test")
    change(api)

    with pytest.raises(Invalid, match=named) as caught:
        GenericHttp.configured(api, {}, Secret("admin"), ShiftedClock())

    assert caught.value.code == "bad_target"


def test_without_a_search_or_an_expiry_an_orphan_would_have_no_end() -> None:
    api: dict[str, Any] = description("https://api.example.test")
    del api["find"]
    api["create"]["body"] = {"name": "{handle}"}

    with pytest.raises(Invalid, match="expires_at"):
        GenericHttp.configured(api, {}, Secret("admin"), ShiftedClock())


@pytest.mark.parametrize(("template", "named"), [({}, "scope"), ({"scope": "read", "admin": True}, "admin")])
def test_a_template_has_exactly_the_members_that_are_used(template: dict[str, object], named: str) -> None:
    provider = GenericHttp.configured(
        description("https://api.example.test"), {}, Secret("admin"), ShiftedClock()
    )

    with pytest.raises(Invalid, match=named) as caught:
        provider.check_template(template)

    assert caught.value.code == "bad_template"


def test_values_are_filled_in_once_and_stay_what_they_are() -> None:
    values = {"handle": "{id}/..%00", "n": 3, "list": ["{handle}"]}

    assert fill_path("/keys/{handle}", values) == "/keys/%7Bid%7D%2F..%2500"
    assert fill_json({"a": "{n}", "b": "n={n}", "c": "{list}"}, values) == {
        "a": 3,
        "b": "n=3",
        "c": ["{handle}"],
    }
    with pytest.raises(Invalid):
        fill_header("Bearer {x}", {"x": "a\r\nHost: b"})


def test_a_pointer_is_read_as_rfc_6901_says() -> None:
    document = {"a/b": {"m~n": [10, 20]}, "": 1}

    assert find(document, "/a~1b/m~0n/1") == 20
    assert find(document, "/a~1b/m~0n/01") is None
    assert find(document, "/a~1b/nothing") is None
    assert find(document, "/") == 1
