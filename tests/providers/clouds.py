"""Every provider that speaks to an HTTP API, before a simulator of it: for the suites that are the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Protocol

import pytest
from joserfc.jwk import RSAKey

from sojourn.ports.provider import Intent, Issued, Provider, Ref
from tests.providers.aws_sts import test_aws_sts as aws_sts
from tests.providers.generic_http import test_conformance as generic_http
from tests.providers.github_app import test_github_app as github_app
from tests.providers.http_rig import ShiftedClock
from tests.providers.kubernetes_token import test_kubernetes_token as kubernetes_token
from tests.providers.openbao import test_simulated as openbao
from tests.rig.http_simulator import Simulator
from tests.rig.openbao import OpenBaoSimulator


class CloudRig(Protocol):
    """What the suites need of a rig."""

    clock: ShiftedClock

    @property
    def provider(self) -> Provider: ...

    def intent(self) -> Intent: ...

    async def can_log_in(self, issued: Issued) -> bool: ...

    async def survivors(self, target_id: str) -> int: ...


@dataclass
class Cloud:
    """One API and its provider; `rotate` gives its admin another credential at the API."""

    name: str
    simulator: Simulator
    rig: CloudRig
    rotate: Callable[[pytest.MonkeyPatch], None]

    @property
    def provider(self) -> Provider:
        return self.rig.provider

    def later(self, seconds: float) -> None:
        """Move the API's clock, and ours."""
        self.simulator.ahead_s += seconds
        self.rig.clock.ahead_s += seconds

    def ref(self, intent: Intent, issued: Issued) -> Ref:
        """What is on record of an issue that was answered."""
        return Ref(intent.handle, issued.target_id, intent.expires_at, kept=issued.keep)


@cache
def _app_key() -> RSAKey:
    return RSAKey.generate_key(2048, private=True)


def _patched(where: str) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(where, "another-credential")


@asynccontextmanager
async def _aws_sts() -> AsyncIterator[Cloud]:
    async with aws_sts.opened() as rig:
        yield Cloud("aws_sts", rig.aws, rig, _patched("tests.rig.aws.ADMIN_KEY"))


@asynccontextmanager
async def _github_app() -> AsyncIterator[Cloud]:
    async with github_app.opened(_app_key()) as rig:
        another = RSAKey.generate_key(2048, private=True)
        yield Cloud("github_app", rig.github, rig, lambda patch: patch.setattr(rig.github, "_key", another))


@asynccontextmanager
async def _kubernetes_token() -> AsyncIterator[Cloud]:
    async with kubernetes_token.opened() as rig:
        yield Cloud("kubernetes_token", rig.cluster, rig, _patched("tests.rig.kubernetes.ADMIN"))


@asynccontextmanager
async def _openbao() -> AsyncIterator[Cloud]:
    with OpenBaoSimulator() as bao:
        async with openbao.opened(bao) as rig:
            yield Cloud("openbao", bao, rig, _patched("tests.rig.openbao.ROOT_TOKEN"))


@asynccontextmanager
async def _generic_http() -> AsyncIterator[Cloud]:
    async with generic_http.opened() as rig:
        yield Cloud("generic_http", rig.service, rig, _patched("tests.rig.key_service.ADMIN"))


CLOUDS: Final[dict[str, Callable[[], AbstractAsyncContextManager[Cloud]]]] = {
    "aws_sts": _aws_sts,
    "github_app": _github_app,
    "kubernetes_token": _kubernetes_token,
    "openbao": _openbao,
    "generic_http": _generic_http,
}


def once(number: int) -> Callable[[Any], bool]:
    """Concerns the request of that number alone, from 1, counted from now."""
    seen = 0

    def concerns(_: Any) -> bool:
        nonlocal seen
        seen += 1
        return seen == number

    return concerns
