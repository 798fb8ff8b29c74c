"""There is one spelling of each SPIFFE ID."""

from __future__ import annotations

import pytest

from sojourn.core.errors import Invalid
from sojourn.core.spiffe_id import SpiffeId


@pytest.mark.parametrize(
    ("text", "domain", "path"),
    [
        ("spiffe://example.org/ci/deploy", "example.org", "/ci/deploy"),
        ("spiffe://example.org", "example.org", ""),
        ("spiffe://a_b-c.1/X.y_z-9", "a_b-c.1", "/X.y_z-9"),
    ],
)
def test_an_id_is_read_and_written_back(text: str, domain: str, path: str) -> None:
    found = SpiffeId.parse(text)

    assert (found.trust_domain, found.path, str(found)) == (domain, path, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org/ci",
        "SPIFFE://example.org/ci",
        "https://example.org/ci",
        "spiffe://",
        "spiffe:///ci",
        "spiffe://Example.org/ci",
        "spiffe://example.org:443/ci",
        "spiffe://user@example.org/ci",
        "spiffe://example.org/",
        "spiffe://example.org/ci/",
        "spiffe://example.org//ci",
        "spiffe://example.org/./ci",
        "spiffe://example.org/../ci",
        "spiffe://example.org/c%69",
        "spiffe://example.org/ci?x=1",
        "spiffe://example.org/ci#x",
        "spiffe://example.org/ci x",
        "spiffe://example.org/cí",
        "spiffe://example.org/" + "a" * 2048,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        SpiffeId.parse(text)

    assert refusal.value.code == "bad_spiffe_id"
