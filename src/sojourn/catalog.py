"""The one list of built-in attestors, providers and triggers; nothing is found by scanning.

A configured name that is not in it is an error at start, not at first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ATTESTORS: Final[Mapping[str, str]] = {
    "private_key_jwt": "sojourn.attestors.signed_jwt:SignedJwt",
    "github_actions": "sojourn.attestors.github_actions:GitHubActions",
    "gitlab_ci": "sojourn.attestors.gitlab_ci:GitLabCi",
    "kubernetes": "sojourn.attestors.kubernetes:Kubernetes",
    "oidc": "sojourn.attestors.oidc:GenericOidc",
    "spiffe": "sojourn.attestors.spiffe:Spiffe",
    "mtls": "sojourn.attestors.mtls:MutualTls",
    "spiffe_x509": "sojourn.attestors.spiffe_x509:SpiffeX509",
}

PROVIDERS: Final[Mapping[str, str]] = {
    "http_key": "sojourn.providers.http_key:HttpKey",
    "mysql": "sojourn.providers.mysql:MySQL",
    "aws_sts": "sojourn.providers.aws_sts:AwsSts",
    "generic_http": "sojourn.providers.generic_http:GenericHttp",
    "github_app": "sojourn.providers.github_app:GitHubApp",
    "kubernetes_token": "sojourn.providers.kubernetes_token:KubernetesToken",
    "openbao": "sojourn.providers.openbao:OpenBao",
    "ssh": "sojourn.providers.ssh:OpenSsh",
    "nats": "sojourn.providers.nats:NATS",
    "postgresql": "sojourn.providers.postgresql:PostgreSQL",
    "rabbitmq": "sojourn.providers.rabbitmq:RabbitMQ",
    "redis": "sojourn.providers.redis:Redis",
}

TRIGGERS: Final[Mapping[str, str]] = {
    "github_webhook": "sojourn.triggers.github_webhook:GithubWebhook",
    "gitlab_webhook": "sojourn.triggers.gitlab_webhook:GitlabWebhook",
    "kubernetes_jobs": "sojourn.triggers.kubernetes_jobs:KubernetesJobs",
    "kubernetes_pods": "sojourn.triggers.kubernetes_pods:KubernetesPods",
    "signed_webhook": "sojourn.triggers.signed_webhook:SignedWebhook",
}
