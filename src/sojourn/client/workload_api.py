"""SVIDs straight from the SPIFFE Workload API: an agent's Unix socket, asked anew for each evidence.

The agent knows this process by the socket itself, so nothing secret is configured and nothing is kept
in a file. Needs `sojourn[spiffe]`: the protocol is gRPC, which is the library's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sojourn.client.svid import assert_svid
from sojourn.core.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from spiffe import WorkloadApiClient

SCHEME: Final = "unix:"
JWT: Final = "spiffe"
_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class WorkloadApiSource:
    """The agent behind `socket` (`unix:///run/…`); `type` says which kind of SVID is shown."""

    type: str
    socket: str
    client: str
    audience: str

    def gather(self) -> Mapping[str, str]:
        """A JWT-SVID for the control plane alone, or an assertion by the key of an X509-SVID.

        An agent that gives none may do so in a moment, so that is no end of the work: a workload that
        stays unregistered misses its beats.

        Raises:
            Invalid: code `usage_evidence`; the library is not installed.
            Unavailable: code `evidence_unavailable`; no agent, or it gives this process no SVID.
        """
        open_client, failures = _library()
        try:
            with open_client(self.socket, default_timeout=_WITHIN_S) as agent:
                assertion = self._jwt(agent) if self.type == JWT else self._x509(agent)
        except failures as error:
            what = f"the agent at `{self.socket}` gives no SVID ({type(error).__name__})"
            raise Unavailable("evidence_unavailable", what) from error
        return {"type": self.type, "assertion": assertion, "client": self.client}

    def _jwt(self, agent: WorkloadApiClient) -> str:
        return agent.fetch_jwt_svid({self.audience}).token

    def _x509(self, agent: WorkloadApiClient) -> str:
        shown = agent.fetch_x509_svid()
        return assert_svid(shown.cert_chain, shown.private_key, self.audience)


def _library() -> tuple[type[WorkloadApiClient], type[Exception]]:
    try:
        from spiffe import WorkloadApiClient
        from spiffe.errors import PySpiffeError
    except ImportError as error:
        mend = "install `sojourn[spiffe]`, or let spiffe-helper keep a file fresh"
        raise Invalid("usage_evidence", f"the Workload API is not spoken here: {mend}") from error
    return WorkloadApiClient, PySpiffeError
