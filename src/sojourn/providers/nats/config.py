"""How one NATS account is governed: the server, and the keys that may change the account.

The secret is one JSON object; parsed once, then only read. Opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.providers._common.address import TargetConfig, read_address
from sojourn.providers._common.reading import read_settings
from sojourn.providers.nats.nkeys import ACCOUNT, OPERATOR, Key, is_account, read_seed

DEFAULT_PORT: Final = 4222
SCHEMES: Final = {"nats": DEFAULT_PORT, "tls": DEFAULT_PORT}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator may say of a target beside its secret."""

    client_host: str | None = None  # where workloads connect, if not where the admin does
    client_port: int | None = None
    issue_seconds: Annotated[float, msgspec.Meta(ge=2.0, le=10)] = 3.0


class AdminKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The members of the secret."""

    url: str
    account: str  # the account that sessions get users in: A…
    operator_seed: str  # a key that may sign accounts: SO…
    system_account: str  # A…
    system_seed: str  # a key that may sign users of the system account: SA…


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(TargetConfig[Settings]):
    """One target: where it is, and what changes it."""

    account: str
    operator: Key
    system_account: str
    system: Key


def configured(
    settings: Mapping[str, object], templates: Mapping[str, Mapping[str, object]], secret: Secret
) -> Config:
    """The target of the keys in `secret`, with `settings` that hold nothing secret.

    Raises:
        Invalid: code `bad_target`; no message repeats a seed.
    """
    try:
        keys = msgspec.json.decode(secret.reveal().encode(), type=AdminKeys)
    except msgspec.ValidationError as error:
        text = str(error)
        raise Invalid("bad_target", f"the secret: {text[:1].lower()}{text[1:200]}") from error
    except msgspec.DecodeError as error:
        raise Invalid("bad_target", "the secret is not a JSON object") from error
    for name in ("account", "system_account"):
        if not is_account(getattr(keys, name)):
            raise Invalid("bad_target", f"`{name}` is not the public key of an account")
    return Config(
        address=read_address(Secret(_with_user(keys.url)), SCHEMES),
        account=keys.account,
        operator=read_seed(keys.operator_seed, OPERATOR),
        system_account=keys.system_account,
        system=read_seed(keys.system_seed, ACCOUNT),
        settings=read_settings(settings, Settings),
        templates=templates,
    )


def _with_user(url: str) -> str:
    """Keys take the place of a login, which other addresses must have."""
    scheme, mark, rest = url.partition("://")
    if not mark or "@" in rest:
        raise Invalid("bad_target", "`url` is `nats://host:port`, without a login")
    return f"{scheme}://keys:keys@{rest}"
