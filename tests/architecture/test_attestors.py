"""Attestors are listed, documented and tabled: no claim is accepted without a line."""

from __future__ import annotations

import importlib

import pytest
from tests.architecture.tree import ROOT
from tests.docs.attestor_tables import TABLES

from sojourn.adapters.catalog_attestors import _NEEDS
from sojourn.attestors._claims import CHECKED
from sojourn.catalog import ATTESTORS
from sojourn.core.context import ATTESTED
from sojourn.core.federation import SHAPES

_PLACE = ROOT / "src" / "sojourn" / "attestors"


def test_the_catalog_is_the_whole_list() -> None:
    on_disk = {path.stem for path in _PLACE.glob("*.py") if not path.name.startswith("_")}
    listed = {place.partition(":")[0].rpartition(".")[2] for place in ATTESTORS.values()}

    assert on_disk == listed
    assert ATTESTORS.keys() == _NEEDS.keys()


@pytest.mark.parametrize(("name", "place"), ATTESTORS.items())
def test_a_listed_attestor_loads_and_has_a_page(name: str, place: str) -> None:
    module, _, attribute = place.partition(":")

    assert isinstance(getattr(importlib.import_module(module), attribute), type)
    assert (ROOT / "docs" / "reference" / "attestors" / f"{name}.md").is_file()


def test_every_attestor_has_a_table_and_no_claim_stands_in_it_twice() -> None:
    assert TABLES.keys() == ATTESTORS.keys() - {"private_key_jwt"}
    assert SHAPES.keys() == TABLES.keys() - {"spiffe_x509", "mtls"}, "these two have no rules of their own"
    for table in TABLES.values():
        claims = [*table.required, *table.pinned, *table.optional, *table.ignored, *CHECKED]
        assert len(claims) == len(set(claims))
        assert table.required, "nothing would identify the workload"


def test_what_workloads_may_not_say_is_what_attestors_observe() -> None:
    prefixes = {table.prefix for table in TABLES.values()}

    assert prefixes <= ATTESTED
    assert all(shape.prefix == TABLES[name].prefix for name, shape in SHAPES.items())
