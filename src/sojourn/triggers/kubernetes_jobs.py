"""Jobs of a Kubernetes cluster, watched to their end: complete, failed, or deleted.

A Job is over by its conditions `Complete` and `Failed` alone (batch/v1, JobStatus): one that only
means to succeed or fail (`SuccessCriteriaMet`, `FailureTarget`) still has pods, and one that is
suspended may go on.
"""

from __future__ import annotations

from typing import Final

from sojourn.triggers._kubernetes import Json, KubernetesWatch, Watched, member

TERMINAL: Final = frozenset({"Complete", "Failed"})


class KubernetesJobs(KubernetesWatch):
    """Names sessions by the uid of the Job that their pod belongs to."""

    def __init__(self) -> None:
        super().__init__(Watched("/apis/batch/v1", "jobs", "job", "kubernetes.job_uid", _over))


def _over(job: Json) -> str | None:
    conditions = member(job, "status").get("conditions") or []
    if not isinstance(conditions, list):
        raise TypeError("`conditions` is no list")
    for one in conditions:
        if isinstance(one, dict) and one.get("type") in TERMINAL and one.get("status") == "True":
            return str(one["type"]).lower()
    return None
