"""How one RabbitMQ target is reached by its admin; parsed once, then only read. Opens nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.providers._common.address import TargetConfig, read_address
from sojourn.providers._common.reading import read_settings

SCHEMES: Final = {"http": 15672, "https": 15671}
AMQP_PORT: Final = 5672
AMQPS_PORT: Final = 5671


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operator may say of a target beside the address of its management API."""

    client_host: str | None = None  # where workloads connect, if not where the API is
    client_port: int | None = None
    client_tls: Literal["disable", "require", "verify-ca", "verify-full"] | None = None
    canary_vhost: str = "/"
    issue_seconds: Annotated[float, msgspec.Meta(ge=1.0, le=10)] = 2.5


class Config(TargetConfig[Settings]):
    """One target: where its management API is, and where its workloads connect."""

    @property
    def tls(self) -> str:
        """How workloads are told to use TLS; as the admin does, unless told otherwise."""
        return self.settings.client_tls or self.address.tls

    @property
    def port(self) -> int:
        """The port that workloads are told."""
        return self.settings.client_port or (AMQP_PORT if self.tls == "disable" else AMQPS_PORT)


def configured(
    settings: Mapping[str, object], templates: Mapping[str, Mapping[str, object]], secret: Secret
) -> Config:
    """The target of the address in `secret`, with `settings` that hold nothing secret.

    Raises:
        Invalid: code `bad_target`.
    """
    address = read_address(secret, SCHEMES)
    if address.path:
        raise Invalid("bad_target", "the address of the management API has no path")
    if address.scheme == "https" and address.tls == "disable":
        raise Invalid("bad_target", "`https://` on loopback needs `?tls=`: require, verify-ca, verify-full")
    if address.scheme == "http" and address.tls != "disable":
        raise Invalid("bad_target", "beyond loopback expected `https://`, or `http://…?tls=disable`")
    return Config(address, read_settings(settings, Settings), templates)
