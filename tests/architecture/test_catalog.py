"""The catalog is the whole list of providers: what is there is listed, loads, and is documented.

A provider is one file or one folder of `sojourn/providers` whose name has no leading underscore.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from tests.architecture.tree import ROOT

from sojourn.catalog import TRIGGERS

_PREFIX = "sojourn.providers."


def listed(catalog: Path) -> dict[str, str]:
    """The `PROVIDERS` of a catalog, read without running it: it must be a literal."""
    if not catalog.is_file():
        return {}
    for node in ast.parse(catalog.read_text("utf-8")).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(t, ast.Name) and t.id == "PROVIDERS" for t in targets):
            value = ast.literal_eval(node.value)  # type: ignore[attr-defined]
            return dict(value)
    return {}


def on_disk(package: Path) -> set[str]:
    """The providers that the tree holds."""
    files = {p.stem for p in package.glob("*.py") if not p.name.startswith("_")}
    folders = {p.parent.name for p in package.glob("*/__init__.py") if not p.parent.name.startswith("_")}
    return files | folders


def faults(package: Path, docs: Path) -> list[str]:
    """What is missing to close the loop."""
    names = listed(package / "catalog.py")
    there = on_disk(package / "providers")
    pointed_at = {value.removeprefix(_PREFIX).split(":")[0].split(".")[0] for value in names.values()}
    found = [f"`{name}` is on disk and not listed" for name in sorted(there - pointed_at)]
    found += [f"`{value}` is listed and not on disk" for value in sorted(pointed_at - there)]
    found += [
        f"`{value}` is not `{_PREFIX}…:Class`"
        for value in names.values()
        if not value.startswith(_PREFIX) or value.count(":") != 1
    ]
    pages = docs / "reference" / "providers"
    found += [
        f"`{name}` has no page in docs/reference/providers"
        for name in names
        if not (pages / f"{name}.md").is_file()
    ]
    return found


def test_every_trigger_is_listed_and_described() -> None:
    there = {p.stem for p in (ROOT / "src/sojourn/triggers").glob("*.py") if not p.name.startswith("_")}
    page = (ROOT / "docs/reference/triggers.md").read_text("utf-8")

    assert there == TRIGGERS.keys()
    assert all(f"| `{name}` |" in page for name in TRIGGERS)
    for place in TRIGGERS.values():
        module, _, attribute = place.partition(":")
        assert callable(getattr(importlib.import_module(module), attribute))


def test_the_catalog_is_the_whole_list() -> None:
    assert faults(ROOT / "src/sojourn", ROOT / "docs") == []


def test_every_listed_provider_loads() -> None:
    for name, value in listed(ROOT / "src/sojourn/catalog.py").items():
        module, _, attribute = value.partition(":")

        provider = getattr(importlib.import_module(module), attribute)

        assert isinstance(provider, type), name


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree that keeps the rule."""
    for folder in ("src/providers/alpha", "docs/reference/providers"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "src/providers/alpha/__init__.py").touch()
    (tmp_path / "src/providers/_shared.py").touch()
    (tmp_path / "docs/reference/providers/alpha.md").touch()
    (tmp_path / "src/catalog.py").write_text(
        'PROVIDERS = {"alpha": "sojourn.providers.alpha.provider:Alpha"}\n'
    )
    return tmp_path


def test_a_whole_catalog_has_no_fault(tree: Path) -> None:
    assert faults(tree / "src", tree / "docs") == []


def test_an_unlisted_provider_is_found(tree: Path) -> None:
    (tree / "src/providers/beta.py").touch()

    assert faults(tree / "src", tree / "docs") == ["`beta` is on disk and not listed"]


def test_a_provider_without_a_catalog_is_found(tree: Path) -> None:
    (tree / "src/catalog.py").unlink()

    assert faults(tree / "src", tree / "docs") == ["`alpha` is on disk and not listed"]


def test_a_provider_without_a_page_is_found(tree: Path) -> None:
    (tree / "docs/reference/providers/alpha.md").unlink()

    assert faults(tree / "src", tree / "docs") == ["`alpha` has no page in docs/reference/providers"]


def test_a_listed_provider_that_is_gone_is_found(tree: Path) -> None:
    (tree / "src/providers/alpha/__init__.py").unlink()

    assert faults(tree / "src", tree / "docs") == ["`alpha` is listed and not on disk"]
