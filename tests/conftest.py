"""What every test shares: the event loop's kind, and the loud list of what could not run."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from tests.rig.unavailable import MARK

_FIRST = ("crash", "providers", "acceptance", "conformance", "cli", "sim")
"""Folders whose files take long: begun last, one of them would keep its worker when the others are done."""

_COLLECT_AFTER = (5_000, 20, 20)
_HERE = Path(__file__).parent
_TITLE = "NOT RUN ON THIS MACHINE"


@pytest.fixture
def anyio_backend() -> str:
    """Asyncio only: it is what the product runs on."""
    return "asyncio"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long first; files stay together."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    folder = item.path.relative_to(_HERE).parts[0]
    return _FIRST.index(folder) if folder in _FIRST else len(_FIRST)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Let the collector of garbage leave alone what stays until the end: it is long to walk."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """List every test that was left out, with the reason, by number."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if not reasons:
        terminalreporter.write_line("Everything that was collected ran on this machine.")
        return
    terminalreporter.write_sep("!", _TITLE, red=True, bold=True)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count:5}  {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if not isinstance(report.longrepr, tuple):
        return "skipped without a reason"
    return str(report.longrepr[2]).removeprefix("Skipped: ").removeprefix(MARK)
