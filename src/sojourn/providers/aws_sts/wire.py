"""AWS's own client, as much of it as is used here, off the event loop and never retrying.

Nobody else in this package imports boto3.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import boto3.session
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from sojourn.core.errors import TargetError
from sojourn.core.secret import Secret

CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 4.0

# The client's own descriptions of services: read once, or a client would cost ten times as much.
_DESCRIPTIONS: Final = botocore.loaders.create_loader()
_NEVER_LEFT: Final = (
    EndpointConnectionError,
    ConnectTimeoutError,
    NoCredentialsError,
    ParamValidationError,
)
_CODES: Final = {
    "Throttling": "target_busy",
    "ThrottlingException": "target_busy",
    "RequestLimitExceeded": "target_busy",
    "AccessDenied": "missing_privilege",
    "AccessDeniedException": "missing_privilege",
    "InvalidClientTokenId": "admin_login_refused",
    "SignatureDoesNotMatch": "admin_login_refused",
    "ExpiredToken": "expired",
    "ExpiredTokenException": "expired",
    "NoSuchEntity": "missing_object",
    "LimitExceeded": "policy_full",
    "PackedPolicyTooLarge": "bad_template",
    "MalformedPolicyDocument": "bad_template",
}


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs a request."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """One service: its name, region, and address where that is not AWS's own."""

    service: str
    region: str
    endpoint: str | None


@dataclass(slots=True)
class Service:
    """One service, called with one set of keys."""

    place: Place
    keys: Keys
    read_seconds: float = READ_SECONDS
    _client: Any = None
    _making: threading.Lock = field(default_factory=threading.Lock)

    async def call(self, verb: str, **members: object) -> Mapping[str, Any]:
        """The answer to `verb`, sent once.

        Raises:
            TargetError: `sent` is false where AWS refused, so that nothing was done.
        """
        try:
            return await asyncio.to_thread(self._call, verb, members)
        except ClientError as error:
            raise _answered(verb, error) from error
        except _NEVER_LEFT as error:
            text = f"{verb}: {type(error).__name__}"
            raise TargetError("target_unreachable", text, sent=False) from error
        except ReadTimeoutError as error:
            raise TargetError("target_timeout", f"{verb}: no answer in {self.read_seconds:g} s") from error
        except BotoCoreError as error:
            raise TargetError("target_unreachable", f"{verb}: {type(error).__name__}") from error

    def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _call(self, verb: str, members: Mapping[str, object]) -> Mapping[str, Any]:
        with self._making:
            client = self._client = self._client or self._make()
        answer: Mapping[str, Any] = getattr(client, verb)(**members)
        return answer

    def _make(self) -> Any:
        core = botocore.session.Session()
        core.register_component("data_loader", _DESCRIPTIONS)
        # Everything is given: neither the environment nor the files of a user are consulted.
        session = boto3.session.Session(
            botocore_session=core,
            aws_access_key_id=self.keys.access_key_id,
            aws_secret_access_key=self.keys.secret_access_key.reveal(),
            aws_session_token=self.keys.session_token.reveal() if self.keys.session_token else None,
            region_name=self.place.region,
        )
        config = Config(
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=self.read_seconds,
            max_pool_connections=8,
            proxies={},
        )
        endpoint = self.place.endpoint
        return session.client(self.place.service, endpoint_url=endpoint, config=config)


def words_of(error: TargetError) -> str:
    """AWS's own words behind an error of `Service.call`."""
    cause = error.__cause__
    return str(cause.response.get("Error", {}).get("Message", "")) if isinstance(cause, ClientError) else ""


def _answered(verb: str, error: ClientError) -> TargetError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
    nothing_done = status < 500
    known = _CODES.get(code, "target_refused" if nothing_done else "target_failed")
    return TargetError(known, f"{verb}: {code[:60]} ({status})", sent=not nothing_done)
