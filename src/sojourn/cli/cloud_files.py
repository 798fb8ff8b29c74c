"""The files by which ssh, kubectl, git, the AWS and the OpenBao clients find a credential."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from sojourn.client.views import CredentialView

_KUBECONFIG: Final = "KUBECONFIG"
_AWS_FILE: Final = "AWS_SHARED_CREDENTIALS_FILE"


def cloud_files(one: CredentialView, name: str) -> dict[str, str]:
    """Names and contents of the files for one credential, by the name of its grant."""
    match one.provider:
        case "ssh":
            return _ssh(one, name)
        case "aws_sts":
            return {f"{name}.credentials": _aws(one, name)}
        case "kubernetes_token":
            return {f"{name}.kubeconfig": _kubeconfig(one, name)}
        case "openbao":
            return {f"{name}.token": one.secret.reveal()}
        case "github_app":
            return {f"{name}.git-credentials": _git(one)}
        case _:
            return {}


def cloud_paths(folder: Path, credentials: Sequence[tuple[str, CredentialView]]) -> dict[str, str]:
    """The variables by which clients find the first file of their kind; paths only."""
    told: dict[str, str] = {}
    for name, one in credentials:
        if one.provider == "kubernetes_token":
            told.setdefault(_KUBECONFIG, str(folder / f"{name}.kubeconfig"))
        if one.provider == "aws_sts":
            told.setdefault(_AWS_FILE, str(folder / f"{name}.credentials"))
    return told


def _ssh(one: CredentialView, name: str) -> dict[str, str]:
    """A configuration for `ssh -F $SOJOURN_DIR/NAME.ssh NAME`; ssh fills in the folder itself."""
    told, secret = one.connection, json.loads(one.secret.reveal())
    here = f"${{SOJOURN_DIR}}/{name}"
    lines = (
        f"Host {name}",
        f"HostName {told.get('host', '')}",
        f"Port {told.get('port', '22')}",
        f"User {told.get('user', '')}",
        f"IdentityFile {here}.key",
        f"CertificateFile {here}.cert",
        f"UserKnownHostsFile {here}.known_hosts",
        f"HostKeyAlias {name}",
        "IdentitiesOnly yes",
        "IdentityAgent none",
        "StrictHostKeyChecking yes",
    )
    return {
        f"{name}.ssh": "\n".join([*lines, ""]),
        f"{name}.key": str(secret["private_key"]),
        f"{name}.cert": f"{secret['certificate']}\n",
        f"{name}.known_hosts": f"{name} {told.get('host_key', '')}\n",
    }


def _aws(one: CredentialView, name: str) -> str:
    keys = json.loads(one.secret.reveal())
    lines = [f"aws_{member}={keys[member]}" for member in sorted(keys)]
    return "".join("\n".join([f"[{profile}]", *lines, ""]) for profile in ("default", name))


def _kubeconfig(one: CredentialView, name: str) -> str:
    """JSON, which is YAML; the cluster's CA is the workload's to know."""
    told = one.connection
    context = {"cluster": name, "user": name, "namespace": told.get("namespace", "default")}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": told.get("server", "")}}],
            "users": [{"name": name, "user": {"token": one.secret.reveal()}}],
            "contexts": [{"name": name, "context": context}],
            "current-context": name,
        }
    )


def _git(one: CredentialView) -> str:
    """A line for git's own `store --file`."""
    host = (urlsplit(one.connection.get("api", "")).hostname or "github.com").removeprefix("api.")
    return f"https://x-access-token:{quote(one.secret.reveal(), safe='')}@{host}\n"
