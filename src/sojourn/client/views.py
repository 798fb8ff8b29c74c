"""What the control plane says about a session, read once into values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sojourn.client.jsonfacts import Json, member, members, number, text, text_or_none
from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.core.window import parse


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as last heard of; `raw` is the whole object as sent."""

    id: str
    state: str
    closes: datetime
    beat_every: timedelta
    missed_after: timedelta
    reason: str | None
    raw: Json

    @property
    def leaving(self) -> bool:
        """Whether its access is being taken away, or gone."""
        return self.state in ("revoking", "ended")


@dataclass(frozen=True, slots=True)
class TokenView:
    """An access token for one audience."""

    audience: str
    token: Secret
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class CredentialView:
    """A credential in a target; the secret is seen this once."""

    grant: str
    target: str
    provider: str
    connection: dict[str, str]
    secret: Secret


@dataclass(frozen=True, slots=True)
class Opened:
    """The answer to an open, a resume or a beat; `heard_at` is the server's time in it."""

    session: SessionView
    tokens: tuple[TokenView, ...]
    credentials: tuple[CredentialView, ...]
    heard_at: datetime
    secret_spent: bool = False


def read_session(value: Json) -> SessionView:
    """Read a session object."""
    beat, window, cause = member(value, "beat"), member(value, "window"), value.get("cause")
    return SessionView(
        text(value, "id"),
        text(value, "state"),
        parse(text(window, "closes")),
        timedelta(seconds=number(beat, "every_s")),
        timedelta(seconds=number(beat, "missed_after_s")),
        text_or_none(member(value, "cause"), "reason") if cause is not None else None,
        value,
    )


def read_opened(value: Json) -> Opened:
    """Read the answer to an open, a resume or a beat."""
    session = read_session(member(value, "session"))
    if value.get("secret_spent") is True:
        return Opened(session, (), (), session.closes, secret_spent=True)
    if "task" in value:  # it waits for people
        return Opened(session, (), (), session.closes)
    credentials = (
        tuple(_read_credential(c) for c in members(value, "credentials")) if "credentials" in value else ()
    )
    return Opened(session, read_tokens(value), credentials, parse(text(value, "server_time")))


def read_tokens(value: Json) -> tuple[TokenView, ...]:
    """Read the member `tokens`."""
    return tuple(
        TokenView(text(t, "audience"), Secret(text(t, "access_token")), parse(text(t, "expires_at")))
        for t in members(value, "tokens")
    )


def _read_credential(value: Json) -> CredentialView:
    connection = {name: str(item) for name, item in member(value, "connection").items()}
    for name, item in connection.items():
        # It goes into files made of lines.
        if not (name.isidentifier() and item.isprintable()):
            raise Invalid("bad_answer", f"connection member `{name[:40]!r}` holds unprintable characters")
    secret = Secret(text(value, "secret"))
    return CredentialView(
        text(value, "grant"), text(value, "target"), text(value, "provider"), connection, secret
    )
