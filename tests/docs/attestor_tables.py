"""The claim tables on the pages of the attestors, made from the tables of the code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.architecture.tree import ROOT

from sojourn.attestors import github_actions, gitlab_ci, kubernetes, mtls, oidc, spiffe, spiffe_x509
from sojourn.attestors._claims import CHECKED, ClaimTable

FOLDER: Final = ROOT / "docs" / "reference" / "attestors"
BEGIN: Final = "<!-- claims: made by scripts/reference -->"
END: Final = "<!-- end of claims -->"
TABLES: Final[Mapping[str, ClaimTable]] = {
    "github_actions": github_actions.TABLE,
    "gitlab_ci": gitlab_ci.TABLE,
    "kubernetes": kubernetes.TABLE,
    "mtls": mtls.TABLE,
    "oidc": ClaimTable("oidc", {"sub": "sub"}, ignored=oidc.IGNORED),
    "spiffe": spiffe.TABLE,
    "spiffe_x509": spiffe_x509.TABLE,
}


def pages() -> Mapping[Path, str]:
    """Every such page with its table as it should be."""
    return {FOLDER / f"{name}.md": _with(FOLDER / f"{name}.md", table) for name, table in TABLES.items()}


def _with(page: Path, table: ClaimTable) -> str:
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{_rows(table)}\n{END}{rest.partition(END)[2]}"


def _rows(table: ClaimTable) -> str:
    kinds = {
        "required": table.required,
        "pinned": table.pinned,
        "optional": {**table.optional, **{f"{family}*": f"{family}*" for family in table.families}},
    }
    rows = ["| claim | is | fact |", "|---|---|---|"]
    for kind, claims in kinds.items():
        rows += [f"| `{claim}` | {kind} | `{table.prefix}.{name}` |" for claim, name in claims.items()]
    rows += [f"| `{claim}` | checked | |" for claim in sorted(CHECKED)]
    rows += [f"| `{claim}` | ignored | |" for claim in sorted(table.ignored)]
    return "\n".join(rows)
