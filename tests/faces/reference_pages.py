"""The reference pages that are made from the code, and where they are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sojourn.faces.http.charter_schemas import published
from sojourn.faces.http.problems import reference
from tests.faces.world import World

ROOT = Path(__file__).resolve().parents[2]


def pages() -> Mapping[Path, str]:
    """Every such page with its text as it should be."""
    document = json.dumps(World().app.openapi(), indent=1, ensure_ascii=False, sort_keys=True)
    folder = ROOT / "docs" / "reference"
    schema = json.dumps(published(), indent=1, ensure_ascii=False, sort_keys=True)
    return {
        folder / "openapi.json": document + "\n",
        folder / "errors.md": reference(),
        folder / "charter.schema.json": schema + "\n",
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
