"""GitLab webhooks: job and pipeline events, when the status is a terminal one.

GitLab proves itself by the secret in `X-Gitlab-Token`, which covers nothing of the body: the way
to us must be TLS.
"""

from __future__ import annotations

from typing import Final

from sojourn.core.ending import Reason
from sojourn.core.secret import Secret
from sojourn.ports.trigger import Delivery, Signal
from sojourn.triggers._reading import member, number, read, same, unsigned

# `manual`, `canceling` and the like go on, or may.
TERMINAL: Final = frozenset({"success", "failed", "canceled", "skipped"})


class GitlabWebhook:
    """Shown the secret token of the webhook."""

    def parse(self, delivery: Delivery, secret: Secret) -> tuple[Signal, ...]:
        """The job or pipeline that is over, if the delivery says so.

        Raises:
            Unauthenticated: code `bad_signature`.
            Invalid: code `bad_delivery`.
        """
        shown = delivery.headers.get("x-gitlab-token", "")
        if not shown or not same(secret.reveal().encode(), shown.encode()):
            raise unsigned("expected the secret token of this trigger")
        found = read(delivery.body)
        match found.get("object_kind"):
            case "build":
                status, ours = found.get("build_status"), {"gitlab.job_id": number(found, "build_id")}
                project = number(found, "project_id")
            case "pipeline":
                pipeline = member(found, "object_attributes")
                status, ours = pipeline.get("status"), {"gitlab.pipeline_id": number(pipeline, "id")}
                project = number(member(found, "project"), "id")
            case _:
                return ()
        if status not in TERMINAL:
            return ()
        return (Signal(Reason.JOB_FINISHED, {"gitlab.project_id": project, **ours}, f"{status}"),)
