"""Any system that can sign: Standard Webhooks headers, and a body that names facts and a reason.

`webhook-signature: v1,BASE64` over `ID.TIMESTAMP.BODY` with HMAC-SHA-256; the timestamp may be
five minutes off. The body: `{"reason": "job_finished", "match": {"ticket.id": "42"}}`.
"""

from __future__ import annotations

from typing import Final

from sojourn.core.ending import Reason
from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.core.signed_message import require_signed
from sojourn.ports.trigger import Delivery, Signal
from sojourn.triggers._reading import read

MOST_FACTS: Final = 8

# What somebody outside may say; the other reasons are ours to give.
REASONS: Final = frozenset({Reason.JOB_FINISHED, Reason.CONTEXT_CHANGED, Reason.OWNER_LEFT})


class SignedWebhook:
    """For schedulers, ticket systems and scripts."""

    def parse(self, delivery: Delivery, secret: Secret) -> tuple[Signal, ...]:
        """The one signal that the body spells.

        Raises:
            Unauthenticated: code `bad_signature`; also for a timestamp that is off.
            Invalid: code `bad_delivery`.
        """
        require_signed(delivery.headers, delivery.body, secret, delivery.received_at)
        found = read(delivery.body)
        if odd := sorted(found.keys() - {"reason", "match", "detail"}):
            raise Invalid("bad_delivery", f"unknown member `{odd[0][:40]}`")
        return (Signal(_reason(found.get("reason")), _facts(found.get("match")), _detail(found)),)


def _reason(value: object) -> Reason:
    known = {str(one): one for one in REASONS}
    if not isinstance(value, str) or value not in known:
        raise Invalid("bad_delivery", f"`reason` is one of {', '.join(sorted(known))}")
    return known[value]


def _facts(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not 1 <= len(value) <= MOST_FACTS:
        raise Invalid("bad_delivery", f"`match` names 1 to {MOST_FACTS} facts")
    if not all(isinstance(one, str) and 0 < len(one) <= 256 for one in value.values()):
        raise Invalid("bad_delivery", "the facts of `match` are texts")
    return dict(value)


def _detail(found: object) -> str:
    detail = found.get("detail", "") if isinstance(found, dict) else ""
    if not isinstance(detail, str) or len(detail) > 200:
        raise Invalid("bad_delivery", "`detail` is a text of at most 200 characters")
    return detail
