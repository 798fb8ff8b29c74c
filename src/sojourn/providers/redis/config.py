"""How one Redis target is reached by its admin; parsed once, then only read. Opens nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.providers._common.address import TargetConfig, read_address
from sojourn.providers._common.reading import read_settings

DEFAULT_PORT: Final = 6379
SCHEMES: Final = {"redis": DEFAULT_PORT, "rediss": DEFAULT_PORT}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator may say of a target beside its address."""

    client_host: str | None = None  # where workloads connect, if not where the admin does
    client_port: int | None = None
    pool_size: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    issue_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 3.0


class Config(TargetConfig[Settings]):
    """One target: where it is, and who administers it."""


def configured(
    settings: Mapping[str, object], templates: Mapping[str, Mapping[str, object]], secret: Secret
) -> Config:
    """The target of the address in `secret`, with `settings` that hold nothing secret.

    Raises:
        Invalid: code `bad_target`.
    """
    address = read_address(secret, SCHEMES)
    if address.path not in ("", "0"):
        raise Invalid("bad_target", "the admin works in database 0: an ACL cannot tell databases apart")
    if address.scheme == "rediss" and address.tls == "disable":
        raise Invalid("bad_target", "`rediss://` on loopback needs `?tls=`: require, verify-ca, verify-full")
    if address.scheme == "redis" and address.tls != "disable":
        raise Invalid("bad_target", "beyond loopback expected `rediss://`, or `redis://…?tls=disable`")
    return Config(address, read_settings(settings, Settings), templates)
