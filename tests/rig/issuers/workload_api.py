"""A SPIFFE agent: the Workload API on a Unix socket, over real gRPC, as SPIRE answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from spiffe._proto import workload_pb2, workload_pb2_grpc

HEADER = ("workload.spiffe.io", "true")  # without it an agent must answer nothing (SPIFFE, section 3)


class Agent:
    """Gives SVIDs while the workload is registered; `folder` holds what it gives as X509-SVID."""

    def __init__(self, socket: Path, identity: str, folder: Path, jwt: Callable[[str], str]) -> None:
        self.address = f"unix://{socket}"
        self.identity, self.folder, self.jwt = identity, folder, jwt
        self.registered, self.asked = True, 0
        self._server = grpc.server(ThreadPoolExecutor(2))
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self._server.add_insecure_port(self.address)
        self._server.start()

    def close(self) -> None:
        """Stop."""
        self._server.stop(None).wait(5)

    def FetchX509SVID(self, request: Any, context: Any) -> Iterator[workload_pb2.X509SVIDResponse]:
        """One answer, then nothing: who asks once hangs up."""
        self._admit(context)
        chain = x509.load_pem_x509_certificates((self.folder / "svid.pem").read_bytes())
        key = load_pem_private_key((self.folder / "svid_key.pem").read_bytes(), None)
        svid = workload_pb2.X509SVID(
            spiffe_id=self.identity,
            x509_svid=b"".join(one.public_bytes(Encoding.DER) for one in chain),
            x509_svid_key=key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
            bundle=chain[-1].public_bytes(Encoding.DER),
        )
        yield workload_pb2.X509SVIDResponse(svids=[svid])

    def FetchJWTSVID(self, request: Any, context: Any) -> workload_pb2.JWTSVIDResponse:
        """One for the audience that is asked for."""
        self._admit(context)
        (audience,) = request.audience
        svid = workload_pb2.JWTSVID(spiffe_id=self.identity, svid=self.jwt(audience))
        return workload_pb2.JWTSVIDResponse(svids=[svid])

    FetchX509Bundles = FetchJWTBundles = ValidateJWTSVID = None

    def _admit(self, context: Any) -> None:
        self.asked += 1
        if HEADER not in {(one.key, one.value) for one in context.invocation_metadata()}:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        if not self.registered:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
