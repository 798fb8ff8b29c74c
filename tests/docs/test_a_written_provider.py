"""The provider that the guide writes is short, and keeps the contract."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.architecture.tree import ROOT
from tests.providers.generic_http.test_conformance import TEMPLATES, KeyRig
from tests.providers.http_rig import ShiftedClock
from tests.rig.key_service import ADMIN, KeyService

from sojourn.core.secret import Secret
from sojourn.testing.provider_conformance import REMADE_SUITE, Rig

pytestmark = pytest.mark.anyio
MOST_LINES = 100


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The class in the guide, from a file as anybody would write it."""
    place = tmp_path_factory.mktemp("guide") / "key_keeper.py"
    place.write_text(shown())
    return _load(place).KeyKeeper


def shown() -> str:
    text = (ROOT / "docs" / "guides" / "write-a-provider.md").read_text("utf-8")
    (code,) = re.findall(r"^```python provider\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(code)


def _load(place: Path) -> Any:
    spec = importlib.util.spec_from_file_location("key_keeper", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def rig(written: Any) -> AsyncIterator[KeyRig]:
    clock = ShiftedClock()
    with KeyService() as service:
        provider = written.configured({"base": service.base}, TEMPLATES, Secret(ADMIN), clock)
        async with httpx2.AsyncClient(base_url=service.base, trust_env=False) as line:
            yield KeyRig(service, provider, clock, line)
        await provider.close()


def test_it_has_fewer_than_a_hundred_lines() -> None:
    assert shown().count("\n") < MOST_LINES


@pytest.mark.parametrize("promise", REMADE_SUITE, ids=lambda one: one.__name__)
async def test_the_written_provider_keeps_the_contract(
    rig: KeyRig, promise: Callable[[Rig], Awaitable[None]]
) -> None:
    await promise(rig)


async def test_its_preflight_passes(rig: KeyRig) -> None:
    checks = await rig.provider.preflight("sj_test_")

    assert checks and all(one.ok for one in checks), checks
