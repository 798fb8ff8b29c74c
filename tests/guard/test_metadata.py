"""What a guarded API says of itself, at each place where a client may look."""

from __future__ import annotations

import json

import pytest

from sojourn.guard.metadata import PLACE, ResourceMetadata


@pytest.mark.parametrize(
    ("audience", "path"),
    [("https://shop.example", ""), ("https://shop.example/stock/", "/stock"), ("orders", "")],
)
def test_the_document_stands_where_its_address_leads(audience: str, path: str) -> None:
    told = ResourceMetadata("https://shop.example", issuer="https://i", audience=audience, require={})

    document = json.loads(told.body)
    assert document["resource"] == audience and "scopes_supported" not in document
    assert told.address == f"https://shop.example{PLACE}{path}"
    assert told.answers("GET", PLACE + path) and told.answers("GET", PLACE)
    assert not told.answers("POST", PLACE) and not told.answers("GET", f"{PLACE}/elsewhere")
