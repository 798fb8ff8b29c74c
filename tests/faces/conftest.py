"""A fresh world for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.faces.world import World


@pytest.fixture
async def world(anyio_backend: str) -> AsyncIterator[World]:
    made = World()
    async with made.http:
        yield made
