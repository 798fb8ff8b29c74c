"""Pods of a Kubernetes cluster, watched to their end: succeeded, failed, or deleted."""

from __future__ import annotations

from typing import Final

from sojourn.triggers._kubernetes import Json, KubernetesWatch, Watched, member

TERMINAL: Final = frozenset({"Succeeded", "Failed"})


class KubernetesPods(KubernetesWatch):
    """Names sessions by the uid of their pod."""

    def __init__(self) -> None:
        super().__init__(Watched("/api/v1", "pods", "pod", "kubernetes.pod_uid", _over))


def _over(pod: Json) -> str | None:
    phase = str(member(pod, "status").get("phase", ""))
    return phase.lower() if phase in TERMINAL else None
