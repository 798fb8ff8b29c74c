"""Attestors by the catalogue's names, each made once with what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

from sojourn.catalog import ATTESTORS
from sojourn.ports.attestor import Attestor
from sojourn.ports.certificates import Certificates
from sojourn.ports.foreign_tokens import ForeignTokens, Platforms
from sojourn.ports.store import Store


@dataclass(frozen=True, slots=True)
class Equipment:
    """What attestors are made with; `assertions` verifies those of registered keys."""

    store: Store
    assertions: object
    tokens: ForeignTokens
    platforms: Platforms
    certificates: Certificates


_NEEDS: Final[Mapping[str, Callable[[Equipment], tuple[object, ...]]]] = {
    "private_key_jwt": lambda e: (e.store, e.assertions),
    "github_actions": lambda e: (e.store, e.tokens),
    "gitlab_ci": lambda e: (e.store, e.tokens, e.platforms),
    "kubernetes": lambda e: (e.store, e.tokens, e.platforms),
    "oidc": lambda e: (e.store, e.tokens),
    "spiffe": lambda e: (e.store, e.tokens),
    "mtls": lambda e: (e.store, e.certificates),
    "spiffe_x509": lambda e: (e.store, e.tokens),
}


def make_attestors(equipment: Equipment) -> Mapping[str, Attestor]:
    """One of each in the catalogue, under the type of evidence that it takes."""
    made: dict[str, Attestor] = {}
    for name, place in ATTESTORS.items():
        module, _, attribute = place.partition(":")
        attestor: Callable[..., object] = getattr(import_module(module), attribute)
        made[name] = cast("Attestor", attestor(*_NEEDS[name](equipment)))
    return made
