"""Every error the system raises, as one tree with stable codes.

    SojournError
    ├── Invalid          what was sent cannot be understood or is out of bounds
    ├── Unauthenticated  who is asking could not be established
    │   └── NonceWanted  only a nonce is missing, and this is it
    ├── Refused          who is asking is known, and may not
    ├── NotFound         there is no such thing, or the caller may not know of it
    ├── Conflict         somebody else was first: read again and decide again
    ├── Unavailable      we cannot answer now; nothing was granted
    └── TargetError      a target refused, failed or did not answer

`code` is part of the API and never changes its meaning; the message is for people
and never holds a secret. Only `faces/http/problems.py` knows status codes.
"""

from __future__ import annotations


class SojournError(Exception):
    """Base of everything we raise on purpose."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Invalid(SojournError):
    """What was sent cannot be understood, or lies outside a stated bound."""


class Unauthenticated(SojournError):
    """Who is asking could not be established."""


class NonceWanted(Unauthenticated):
    """The proof must carry `nonce`, which is given here: make another proof and ask again."""

    def __init__(self, nonce: str) -> None:
        super().__init__("use_dpop_nonce", "the proof must carry the nonce that this answer gives")
        self.nonce = nonce


class Refused(SojournError):
    """Who is asking is known, and may not do this."""


class NotFound(SojournError):
    """There is no such thing, or the caller may not know of it: both read alike."""


class Conflict(SojournError):
    """Another writer was first, or a state does not allow this any more."""


class Unavailable(SojournError):
    """We cannot answer now; nothing was granted and nothing was lost."""


class TargetError(SojournError):
    """A target refused, failed, or did not answer in time.

    `sent` says whether the request may have had an effect: if it is true, that is unknown
    and only an observation can tell. It is false when nothing left, or the target refused.
    """

    def __init__(self, code: str, message: str, *, sent: bool = True) -> None:
        super().__init__(code, message)
        self.sent = sent
