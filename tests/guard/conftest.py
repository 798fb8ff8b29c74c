"""Fixtures of the guard tests."""

from __future__ import annotations

import pytest

from tests.guard.bench import Bench


@pytest.fixture
def bench() -> Bench:
    """A verifier that has just heard the feed."""
    return Bench()
