"""Core and ledger are pure: the standard library, no clock, no randomness, no input or output.

The import contracts refuse whole modules; here the calls that `datetime` and `uuid` would still
allow are refused too, and every import must be of the standard library or of the pure layers.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

import pytest
from tests.architecture.tree import Finding, Source, calls, imported, source, sources

PURE = ("src/sojourn/core/", "src/sojourn/ledger/")
IMPURE_CALLS = frozenset(
    [
        "now",
        "utcnow",
        "today",
        "uuid1",
        "uuid4",
        "uuid6",
        "uuid7",
        "time",
        "monotonic",
        "perf_counter",
        "time_ns",
        "open",
        "print",
        "input",
        "getenv",
        "urandom",
        "token_bytes",
        "token_hex",
        "randbytes",
        "sleep",
        "breakpoint",
    ]
)
# Checking the signature of a checkpoint needs one primitive that the standard library lacks.
ALLOWED_IMPORTS = {"src/sojourn/ledger/note_keys.py": ("cryptography",)}


def impurities(file: Source) -> Iterator[Finding]:
    """Where a file of the pure layers asks the world for something."""
    for call, name in calls(file.tree):
        if name.rpartition(".")[2] in IMPURE_CALLS and not _is_a_field(call):
            yield Finding(file.path, call.lineno, f"`{name}` in a pure layer: take it as an argument")
    for line, name in imported(file.tree):
        top = name.partition(".")[0]
        if (
            top not in sys.stdlib_module_names
            and not _is_ours(name)
            and top not in ALLOWED_IMPORTS.get(file.path, ())
        ):
            yield Finding(file.path, line, f"`{name}` is neither standard library nor pure")


def _is_ours(name: str) -> bool:
    return name in ("sojourn", "__future__") or name.startswith(("sojourn.core", "sojourn.ledger"))


def _is_a_field(call: ast.Call) -> bool:
    """`self.now()` or `datetime.time()` on a value is still a call; only our own values are exempt."""
    return isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call)


def test_core_and_ledger_ask_nothing_of_the_world() -> None:
    findings = [f for file in sources() if file.path.startswith(PURE) for f in impurities(file)]

    assert not findings, "\n".join(map(str, findings))


@pytest.mark.parametrize(
    "text",
    [
        "from datetime import UTC, datetime\ndatetime.now(UTC)",
        "import datetime\ndatetime.datetime.utcnow()",
        "from datetime import date\ndate.today()",
        "import uuid\nuuid.uuid4()",
        "from time import monotonic\nmonotonic()",
        "open('x')",
        "import msgspec",
        "from sojourn.ports import clock",
    ],
)
def test_a_planted_impurity_is_caught(text: str) -> None:
    assert list(impurities(source("src/sojourn/core/planted.py", text)))


def test_only_the_note_keys_may_use_cryptography() -> None:
    text = "from cryptography.hazmat.primitives.asymmetric import ed25519"

    assert not list(impurities(source("src/sojourn/ledger/note_keys.py", text)))
    assert list(impurities(source("src/sojourn/ledger/verify.py", text)))
