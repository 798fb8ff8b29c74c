"""The files by which clients of MariaDB, Redis, RabbitMQ and NATS find a credential.

One credential gives a few small files, in the form that the usual client of its target
reads; no secret has to pass through an argument or an environment for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sojourn.cli.cloud_files import cloud_files, cloud_paths
from sojourn.client.views import CredentialView

MYSQL, REDIS, RABBITMQ, NATS = "mysql", "redis", "rabbitmq", "nats"
MYSQL_FILE: Final = "my.cnf"


def connection_files(credentials: Sequence[CredentialView]) -> dict[str, str]:
    """Names and contents of the files for `credentials`, whatever their targets are."""
    files: dict[str, str] = {}
    for one in credentials:
        name = file_name(one.grant)
        files[f"{name}.json"] = json.dumps({**one.connection, "secret": one.secret.reveal()})
        match one.provider:
            case "mysql":
                files[f"{name}.cnf"] = _option_file(one)
            case "redis":
                files[f"{name}.url"] = _url(one, "redis", "rediss")
                files[f"{name}.auth"] = f"AUTH {one.connection.get('user', '')} {one.secret.reveal()}\n"
            case "rabbitmq":
                vhost = quote(one.connection.get("vhost", "/"), safe="")
                files[f"{name}.url"] = _url(one, "amqp", "amqps", path=f"/{vhost}")
            case "nats":
                files[f"{name}.creds"] = one.secret.reveal()
            case _:
                files |= cloud_files(one, name)
    first = _first(credentials, MYSQL)
    if first is not None:
        files[MYSQL_FILE] = _option_file(first)
    return files


def connection_paths(folder: Path, credentials: Sequence[CredentialView]) -> dict[str, str]:
    """The variables by which clients find the first file of their kind; paths only."""
    told: dict[str, str] = {}
    if _first(credentials, MYSQL) is not None:
        told["MYSQL_HOME"] = str(folder)
    nats = _first(credentials, NATS)
    if nats is not None:
        told["NATS_CREDS"] = str(folder / f"{file_name(nats.grant)}.creds")
    return told | cloud_paths(folder, [(file_name(one.grant), one) for one in credentials])


def file_name(grant: str) -> str:
    """A grant's name as the name of a file."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in grant)


def _first(credentials: Sequence[CredentialView], provider: str) -> CredentialView | None:
    return next((one for one in credentials if one.provider == provider), None)


def _option_file(one: CredentialView) -> str:
    """An option file of MariaDB's clients: `mariadb --defaults-file=…`."""
    told = one.connection
    lines = [
        "[client]",
        *(f"{name}={_quoted(told[name])}" for name in ("host", "port", "user") if name in told),
    ]
    lines.append(f"password={_quoted(one.secret.reveal())}")
    lines += _tls_options(told)
    if "database" in told:
        lines += ["[mysql]", f"database={_quoted(told['database'])}"]
    return "\n".join([*lines, ""])


def _tls_options(told: Mapping[str, str]) -> list[str]:
    match told.get("tls", "verify-full"):
        case "disable":
            return ["skip-ssl"]
        case "require":
            return ["ssl"]
        case _:
            return ["ssl", "ssl-verify-server-cert"]


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _url(one: CredentialView, scheme: str, tls_scheme: str, *, path: str = "") -> str:
    told = one.connection
    login = f"{quote(told.get('user', ''), safe='')}:{quote(one.secret.reveal(), safe='')}"
    chosen = scheme if told.get("tls") == "disable" else tls_scheme
    return f"{chosen}://{login}@{told.get('host', '')}:{told.get('port', '')}{path}\n"
