"""Every setting that shapes behaviour, typed, with its default and the reason for it.

Times follow `spec/protocol.md`. Nothing here is secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Settings:
    """What services need to know about this deployment."""

    issuer: str  # the base URL, byte for byte as tokens carry it
    deployment: str = "dev0"  # four lower-case letters or digits; part of every handle
    issue_fence: timedelta = timedelta(seconds=3)  # after it, no issue can still land at a target
    token_life: timedelta = timedelta(seconds=300)
    tolerance: timedelta = timedelta(seconds=5)  # S: how far clocks may differ
    activate_within: timedelta = timedelta(seconds=60)
    sweep_every: timedelta = timedelta(milliseconds=500)  # due ends happen within 2 s
    attempt_within: timedelta = timedelta(seconds=30)  # longer than any single call to a target
    hold_errand: timedelta = timedelta(seconds=5)  # renewed while worked on; a dead node's are free after it
    retry_ceiling: timedelta = timedelta(seconds=60)  # retries never stop, and never wait longer
    stuck_after: timedelta = timedelta(seconds=60)  # then the residual is recorded and someone is called
    deaf_after: timedelta = timedelta(seconds=5)  # L: a guard that heard nothing for so long refuses
    feed_period: timedelta = timedelta(seconds=1)  # D: how long a feed question waits for news
    preflight_every: timedelta = timedelta(hours=6)  # a target that went bad is found without a session
    preflight_unfit_every: timedelta = timedelta(minutes=10)  # one that failed may open sessions again soon
    dpop_nonce: bool = False  # whether proofs must carry a nonce of ours (RFC 9449, section 8)
    calls_per_second: int = 500  # of one caller: a client or a session; what ends access is not counted
    remember_calls: timedelta = timedelta(hours=24)  # idempotency keys

    @property
    def log_name(self) -> str:
        """Whose signature checkpoints and bundles carry."""
        return f"sojourn.{self.deployment}/log"

    @property
    def handle_prefix(self) -> str:
        """How every credential of this deployment begins, in every target."""
        return f"sj_{self.deployment}_"
