"""How one MariaDB or MySQL target is reached by its admin; parsed once, then only read. Opens nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from sojourn.core.secret import Secret
from sojourn.providers._common.address import TargetConfig, read_address
from sojourn.providers._common.reading import read_settings

DEFAULT_PORT: Final = 3306
SCHEMES: Final = {"mysql": DEFAULT_PORT, "mariadb": DEFAULT_PORT}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator may say of a target beside its address."""

    client_host: str | None = None  # where workloads connect, if not where the admin does
    client_port: int | None = None
    account_host: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9.:%_/-]{1,60}$")] = "%"
    pool_size: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    issue_seconds: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 3.0
    count_use: bool = False  # ask the user statistics what an account was used for


class Config(TargetConfig[Settings]):
    """One target: where it is, who administers it, and how its accounts are made."""


def configured(
    settings: Mapping[str, object], templates: Mapping[str, Mapping[str, object]], secret: Secret
) -> Config:
    """The target of the address in `secret`, with `settings` that hold nothing secret.

    Raises:
        Invalid: code `bad_target`.
    """
    return Config(read_address(secret, SCHEMES), read_settings(settings, Settings), templates)
