"""GitHub webhooks: `workflow_run` and `workflow_job`, when they are over and not before.

Results that a job posts while it runs (`check_run`, `status`) end nothing. A replayed or late
delivery ends what is over already. The signature covers the body alone, so nothing is taken
from any other header but the name of the event.
"""

from __future__ import annotations

from sojourn.core.ending import Reason
from sojourn.core.errors import Invalid
from sojourn.core.secret import Secret
from sojourn.ports.trigger import Delivery, Signal
from sojourn.triggers._reading import hmac_sha256, member, number, read, same, unsigned


class GithubWebhook:
    """Signed with the webhook's secret: `X-Hub-Signature-256`."""

    def parse(self, delivery: Delivery, secret: Secret) -> tuple[Signal, ...]:
        """The run or job that is over, if the delivery says so.

        Raises:
            Unauthenticated: code `bad_signature`.
            Invalid: code `bad_delivery`.
        """
        scheme, _, signature = delivery.headers.get("x-hub-signature-256", "").partition("=")
        expected = hmac_sha256(secret, delivery.body).hex()
        if scheme != "sha256" or not same(expected.encode(), signature.encode()):
            raise unsigned("expected a delivery signed with the secret of this trigger")
        event, found = delivery.headers.get("x-github-event", ""), read(delivery.body)
        if event not in ("workflow_run", "workflow_job") or found.get("action") != "completed":
            return ()
        subject = member(found, event)
        if subject.get("status") != "completed":
            raise Invalid("bad_delivery", "a completed run has another status")
        repository = {"github.repository_id": number(member(found, "repository"), "id")}
        if event == "workflow_run":
            run, attempt = number(subject, "id"), number(subject, "run_attempt")
            match = {**repository, "github.run_id": run, "github.run_attempt": attempt}
        else:
            match = {**repository, "github.check_run_id": number(subject, "id")}
        return (Signal(Reason.JOB_FINISHED, match, f"{event} {subject.get('conclusion')}"[:80]),)
