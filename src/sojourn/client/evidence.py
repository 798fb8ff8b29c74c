"""What this workload can show of itself, gathered where it runs: a key, or the word of a platform.

    GitHub Actions   asked for anew each time; the job needs `permissions: id-token: write`
    GitLab CI        the id token in `SOJOURN_ID_TOKEN`
    Kubernetes       a projected token; its file is read anew each time, as the kubelet replaces it
    SPIFFE           the Workload API of an agent; a file, or a folder, that one keeps fresh
    OIDC             a file that somebody keeps fresh
    mutual TLS       a folder with a certificate and its key, shown by the connection
    elsewhere        the key of a profile

Nothing is verified here. What is gathered is sent to the control plane and nowhere else, and the
variables it came from do not reach the command.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import quote, urlsplit

from sojourn.client.caller import assertion
from sojourn.client.clock import EdgeClock
from sojourn.client.jsonfacts import parse_object, text
from sojourn.client.profile import Profile, load_profile, profile_path
from sojourn.client.tls import CertificateSource, ClientTls
from sojourn.client.transport import check_issuer, connect
from sojourn.core.errors import Invalid, NotFound, Refused, Unavailable

GITHUB_URL: Final = "ACTIONS_ID_TOKEN_REQUEST_URL"
GITHUB_BEARER: Final = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
GITLAB_EVIDENCE: Final = "SOJOURN_ID_TOKEN"
SERVER: Final = "SOJOURN_SERVER"
CLIENT: Final = "SOJOURN_CLIENT"
EVIDENCE: Final = "SOJOURN_EVIDENCE"
SPIFFE_SOCKET: Final = "SPIFFE_ENDPOINT_SOCKET"
SECRET_VARIABLES: Final = frozenset({GITHUB_URL, GITHUB_BEARER, GITLAB_EVIDENCE})
POD_TOKEN: Final = Path("/var/run/secrets/sojourn/token")
_FROM_FILES: Final = frozenset({"kubernetes", "oidc", "spiffe", "gitlab_ci"})
_BY_TLS: Final = "mtls:"
_WITHIN_S: Final = 10.0
_LARGEST: Final = 64 * 1024


class Source(Protocol):
    """Where evidence comes from."""

    def gather(self) -> Mapping[str, str]:
        """Evidence for one request, as the API wants it.

        Raises:
            Refused: code `evidence_refused`; the platform does not vouch for this workload (any more).
            Unavailable: code `evidence_unavailable`; it cannot be had now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload as the control plane at `issuer` may recognise it."""

    issuer: str
    source: Source
    tls: ClientTls | None = None  # what connections to the control plane show


@dataclass(frozen=True, slots=True)
class KeySource:
    """A fresh assertion by the profile's key each time (RFC 7523)."""

    profile: Profile

    def gather(self) -> Mapping[str, str]:
        """Evidence that serves once."""
        return {"type": "private_key_jwt", "assertion": assertion(self.profile, EdgeClock())}


@dataclass(frozen=True, slots=True)
class GitHubSource:
    """Asks the runner's endpoint for a token made for the control plane alone."""

    url: str
    bearer: str
    audience: str
    client: str

    def __repr__(self) -> str:
        return f"GitHubSource({self.client})"

    def gather(self) -> Mapping[str, str]:
        """A fresh token of this job; a finished job is refused."""
        token = _ask(f"{self.url}&audience={quote(self.audience, safe='')}", self.bearer)
        return {"type": "github_actions", "assertion": token, "client": self.client}


@dataclass(frozen=True, slots=True)
class FileSource:
    """A token that somebody keeps fresh in a file."""

    type: str
    path: Path
    client: str

    def gather(self) -> Mapping[str, str]:
        """What the file holds now."""
        try:
            with self.path.open(encoding="ascii") as file:
                found = file.read(_LARGEST).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable("evidence_unavailable", f"cannot read `{self.path}`") from error
        if not found:
            raise Unavailable("evidence_unavailable", f"`{self.path}` is empty")
        return {"type": self.type, "assertion": found, "client": self.client}


@dataclass(frozen=True, slots=True)
class HeldSource:
    """A token that was given once, for the whole job."""

    type: str
    token: str
    client: str

    def __repr__(self) -> str:
        return f"HeldSource({self.type}, {self.client})"

    def gather(self) -> Mapping[str, str]:
        """The same token as ever."""
        return {"type": self.type, "assertion": self.token, "client": self.client}


def workload_here(
    environ: Mapping[str, str],
    *,
    server: str | None = None,
    client: str | None = None,
    evidence: str | None = None,
    profile: str | None = None,
) -> Workload:
    """This workload: by its platform when server and client are named, else by its profile's key.

    Raises:
        Invalid: codes that begin with `usage`; NotFound: code `no_profile` or `no_evidence`.
    """
    server, client = server or environ.get(SERVER), client or environ.get(CLIENT)
    if profile is not None or not (server or client):
        found = load_profile(profile_path("workload", environ, chosen=profile))
        return Workload(found.issuer, KeySource(found))
    if not (server and client):
        raise Invalid("usage_client", "expected `--server` and `--client` together")
    check_issuer(server)
    evidence = evidence or environ.get(EVIDENCE)
    if evidence is not None and evidence.startswith(_BY_TLS):
        return _certified(server, client, evidence.removeprefix(_BY_TLS))
    return Workload(server, _source(environ, server, client, evidence))


def workload_of(who: Profile | Workload) -> Workload:
    """`who` as a workload."""
    return who if isinstance(who, Workload) else Workload(who.issuer, KeySource(who))


def without_evidence(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment as the command may see it: it cannot show itself as the workload."""
    return {name: value for name, value in environ.items() if name not in SECRET_VARIABLES}


def _certified(server: str, client: str, folder: str) -> Workload:
    if not server.startswith("https://") or not folder:
        raise Invalid("usage_evidence", "expected `mtls:FOLDER`, and a server whose address is https")
    return Workload(server, CertificateSource(client), ClientTls(Path(folder)))


def _source(environ: Mapping[str, str], server: str, client: str, evidence: str | None) -> Source:
    if evidence is not None:
        kind, _, path = evidence.partition(":")
        if kind in ("spiffe", "spiffe_x509") and path.startswith("unix:"):
            return _from_agent(kind, path, client, server)
        if kind == "spiffe_x509" and path:
            from sojourn.client.svid import SvidSource

            return SvidSource(Path(path), client, server)
        if kind not in _FROM_FILES or not path:
            known = ", ".join(sorted((*_FROM_FILES, "mtls", "spiffe_x509")))
            raise Invalid("usage_evidence", f"expected `TYPE:FILE` with a type of {known}")
        return FileSource(kind, Path(path), client)
    url, bearer = environ.get(GITHUB_URL), environ.get(GITHUB_BEARER)
    if url and bearer:
        check_issuer(url.partition("?")[0])
        return GitHubSource(url if "?" in url else f"{url}?", bearer, server, client)
    if token := environ.get(GITLAB_EVIDENCE):
        return HeldSource("gitlab_ci", token.strip(), client)
    if os.access(POD_TOKEN, os.R_OK):
        return FileSource("kubernetes", POD_TOKEN, client)
    if agent := environ.get(SPIFFE_SOCKET):
        return _from_agent("spiffe_x509", agent, client, server)
    raise NotFound(
        "no_evidence",
        "found no token of GitHub, GitLab or Kubernetes, and no SPIFFE agent; use `--evidence TYPE:FILE`",
    )


def _from_agent(kind: str, socket: str, client: str, server: str) -> Source:
    from sojourn.client.workload_api import SCHEME, WorkloadApiSource

    if not socket.startswith(SCHEME):
        raise Invalid("usage_evidence", f"expected a socket as `unix:///…`, got `{socket[:80]}`")
    return WorkloadApiSource(kind, socket, client, server)


def _ask(url: str, bearer: str) -> str:
    parts = urlsplit(url)
    connection = connect(parts, _WITHIN_S)
    try:
        path = f"{parts.path}?{parts.query}"
        headers = {"Authorization": f"Bearer {bearer}", "Accept": "application/json"}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(
            "evidence_unavailable", f"the runner did not answer: {type(error).__name__}"
        ) from error
    finally:
        connection.close()
    if answer.status in (401, 403, 404, 410):
        why = f"GitHub mints no token for this job (status {answer.status})"
        raise Refused("evidence_refused", f"{why}: it is over, or lacks `id-token: write`")
    if answer.status != 200:
        raise Unavailable("evidence_unavailable", f"the runner answered with status {answer.status}")
    try:
        return text(parse_object(body), "value")
    except Invalid as error:
        raise Unavailable("evidence_unavailable", "the runner's answer holds no token") from error
