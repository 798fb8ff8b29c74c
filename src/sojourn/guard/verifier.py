"""Token, proof and revocation view become Access or a refusal; no network, no waiting.

The checks are numbered and run cheapest first. What never changes about a token (its
signature and shape) is remembered; what can change (time, session, hearing) is asked each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sojourn.core.binding import is_certificate
from sojourn.core.errors import Refused, Unauthenticated, Unavailable
from sojourn.core.proof import Demand, ath_of, judge
from sojourn.core.revocation import TOLERANCE, RevocationView, Standing
from sojourn.core.token import AccessClaims
from sojourn.guard.clock import GuardClock
from sojourn.guard.nonces import Nonces
from sojourn.guard.replay import SeenProofs
from sojourn.jose import VerifyKey, verify_access_token, verify_proof

MOST_TOKENS: Final = 4096  # remembered; about 3 KB each
DEAF_AFTER: Final = timedelta(seconds=5)  # L


@dataclass(frozen=True, slots=True)
class Rules:
    """Whose tokens a guard accepts, for what, and how long it may hear nothing."""

    issuer: str
    audience: str
    deaf_after: timedelta = DEAF_AFTER
    tolerance: timedelta = TOLERANCE
    nonces: Nonces | None = None  # with them, proofs must carry one (RFC 9449, section 9)


@dataclass(frozen=True, slots=True)
class Call:
    """What of a request is judged: all its `Authorization` and `DPoP` headers, never just one."""

    method: str
    url: str
    authorization: Sequence[str]
    proofs: Sequence[str]
    required: frozenset[str]
    certificate: str | None = None  # the binding of the peer's certificate, if TLS showed one


@dataclass(frozen=True, slots=True)
class Access:
    """A request that may pass, and in whose name."""

    session: str
    subject: str
    task: str
    scope: frozenset[str]
    claims: AccessClaims
    next_nonce: str | None = None  # to be given out with the answer: the one in the proof grows old


@dataclass(frozen=True, slots=True)
class _Known:
    claims: AccessClaims
    ath: str


class Verifier:
    """Judges requests for one audience; safe to use from many threads."""

    __slots__ = ("_clock", "_keys", "_known", "_proofs", "rules", "view")

    def __init__(self, rules: Rules, view: RevocationView, clock: GuardClock) -> None:
        self.rules = rules
        self.view = view
        self._clock = clock
        self._keys: Mapping[str, VerifyKey] = {}
        self._known: dict[str, _Known] = {}
        self._proofs = SeenProofs()

    def trust(self, keys: Mapping[str, VerifyKey]) -> None:
        """Accept tokens signed by these keys and by no others, from now on."""
        self._keys = keys
        self._known = {}

    def check(self, call: Call) -> Access:
        """Judge one request.

        Raises:
            Unauthenticated: codes `no_token`, `bad_token`, `unknown_kid`, `expired`, `wrong_audience`,
                `session_over`, `key_revoked`, `old_epoch`, `wrong_key`, `bad_proof`, `replayed_proof`;
                `NonceWanted`, where the rules want nonces: code `use_dpop_nonce`.
            Refused: code `insufficient_scope`.
            Unavailable: codes `deaf`, `clock_skew`, `overloaded`; we cannot know, so nobody passes.
        """
        token, compact_proof = _headers(call)  # 1. one token, and one proof or a certificate
        self.check_hearing()  # 2. do we know enough to say yes to anybody
        known = self._verified(token)  # 3. signature by a key of our issuer, once per token
        self._check_claims(known.claims)  # 4. issuer, audience, lifetime
        self.check_standing(known.claims)  # 5. the session behind it lives
        # 6. who holds the key sends it; 7. for the first time
        nonce = self._check_sender(call, compact_proof, known)
        self._check_scope(call, known.claims)  # 8. and may do this
        claims = known.claims
        return Access(claims.sid, claims.subject, claims.task, claims.scope, claims, nonce)

    def check_hearing(self) -> None:
        """Refuse everybody while deaf, or while our clock is not to be believed.

        Raises:
            Unavailable: code `deaf` or `clock_skew`.
        """
        mono = self._clock.mono()
        if self.view.deaf(mono, self.rules.deaf_after):
            raise Unavailable("deaf", "the revocation feed was not heard lately, so nobody is let in")
        skew = self.view.skew(self._clock.now(), mono)
        if abs(skew) > self.rules.tolerance:
            raise Unavailable(
                "clock_skew", f"the local clock is {skew.total_seconds():.0f} s off the server's"
            )

    def check_standing(self, claims: AccessClaims) -> None:
        """Refuse a session that is over, as far as was heard.

        Raises:
            Unauthenticated: code `session_over`, `key_revoked` or `old_epoch`.
            Unavailable: code `deaf`; the token is of an epoch we have not heard of.
        """
        match self.view.standing(claims):
            case Standing.LIVE:
                return
            case Standing.UNSIGNED:
                raise Unauthenticated("key_revoked", "the key that signed the token is revoked")
            case Standing.OLD_EPOCH:
                raise Unauthenticated("old_epoch", "the token is older than a restore of the control plane")
            case Standing.AHEAD:
                raise Unavailable("deaf", "the token is of an epoch that was not heard of yet")
            case _:
                raise Unauthenticated(
                    "session_over", "the session has ended, or the token is of an old generation"
                )

    def _verified(self, token: str) -> _Known:
        known = self._known.pop(token, None)
        if known is None:
            known = _Known(verify_access_token(token, self._keys), ath_of(token))
        remembered = self._known
        remembered[token] = known  # the last used is the last to go
        if len(remembered) > MOST_TOKENS:
            _forget_oldest(remembered)
        return known

    def _check_claims(self, claims: AccessClaims) -> None:
        if claims.issuer != self.rules.issuer:
            raise Unauthenticated("bad_token", "the token is of another issuer")
        if claims.audience != self.rules.audience:
            raise Unauthenticated("wrong_audience", "the token is meant for another audience")
        now = self._clock.now()
        if now >= claims.expires_at:
            raise Unauthenticated("expired", "the token has expired; the next beat brings a new one")
        if claims.issued_at > now + self.rules.tolerance:
            raise Unauthenticated("bad_token", "the token was issued in the future")

    def _check_sender(self, call: Call, compact: str | None, known: _Known) -> str | None:
        if compact is not None:
            return self._check_proof(call, compact, known)
        if not is_certificate(known.claims.key):
            raise Unauthenticated("no_token", "a token bound to a key was sent as a bearer token")
        if call.certificate != known.claims.key:
            raise Unauthenticated("wrong_key", "the token is bound to another certificate")
        return None

    def _check_proof(self, call: Call, compact: str, known: _Known) -> str | None:
        shown, now = verify_proof(compact).read(), self._clock.now()
        good = () if self.rules.nonces is None else self.rules.nonces.good(now)
        judge(shown, Demand(call.method, call.url, known.claims.key, known.ath, good), now)
        self._proofs.spend(shown.key, shown.jti, self._clock.mono())
        return good[0] if good and shown.nonce != good[0] else None

    def _check_scope(self, call: Call, claims: AccessClaims) -> None:
        if not call.required <= claims.scope:
            missing = " ".join(sorted(call.required - claims.scope))
            raise Refused("insufficient_scope", f"the session was not granted `{missing}`")


def _headers(call: Call) -> tuple[str, str | None]:
    if not call.authorization:
        raise Unauthenticated("no_token", "expected `Authorization: DPoP <token>`")
    scheme, _, token = call.authorization[0].partition(" ")
    if _is_by_certificate(call, scheme, token):
        return token.strip(" "), None
    if len(call.authorization) > 1 or scheme.lower() != "dpop" or not token.strip():
        raise Unauthenticated("no_token", "expected one `Authorization` header of the scheme `DPoP`")
    if len(call.proofs) != 1:
        raise Unauthenticated("bad_proof", f"expected one `DPoP` header, got {len(call.proofs)}")
    return token.strip(" "), call.proofs[0].strip(" ")


def _is_by_certificate(call: Call, scheme: str, token: str) -> bool:
    """RFC 8705, section 3: the token alone, the certificate speaks for its sender."""
    one_token = len(call.authorization) == 1 and scheme.lower() == "bearer" and bool(token.strip())
    return one_token and not call.proofs and call.certificate is not None


def _forget_oldest(known: dict[str, _Known]) -> None:
    try:
        known.pop(next(iter(known)), None)
    except (StopIteration, RuntimeError):  # another thread was at it: it forgets for both
        return
