"""A SPIFFE trust domain: JWT-SVIDs, and a bundle endpoint of either profile."""

from __future__ import annotations

import base64
import json
import ssl
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jws
from joserfc.jwk import ECKey

from tests.rig.issuers.issuer import Answer, Call, HttpsServer
from tests.rig.issuers.tls import Authority

_REGISTRY = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)


class TrustDomain:
    """Signs SVIDs and publishes what verifies them."""

    def __init__(self, name: str, folder: Path, context: ssl.SSLContext | None = None) -> None:
        self.name = name
        self.endpoint_id = f"spiffe://{name}/spire/server"
        self.authority = Authority(folder, name, spiffe_id=f"spiffe://{name}")
        self.sequence = 1
        self.refresh_hint: int | None = 60
        self.down = False
        self.body: bytes | None = None
        self.keys: dict[str, ECKey] = {}
        self.rotate()
        shown = context or self.authority.server(spiffe_id=self.endpoint_id)
        self.server = HttpsServer(shown)
        self.server.routes["/bundle"] = self._bundle

    @property
    def endpoint(self) -> str:
        """Where the bundle is."""
        return f"{self.server.url}/bundle"

    def rotate(self) -> str:
        """Sign with a new key; the old ones are no more."""
        self.sequence += 1
        self.signing = f"{self.name}-{self.sequence}"
        self.keys = {self.signing: ECKey.generate_key("P-256")}
        return self.signing

    def svid(self, path: str, audience: object, *, life_s: int = 300, **more: Any) -> str:
        """A JWT-SVID for one of its workloads."""
        now = int(time.time())
        claims = {
            "sub": f"spiffe://{self.name}{path}",
            "aud": audience,
            "exp": now + life_s,
            "iat": now,
            **more,
        }
        header = {"alg": "ES256", "kid": self.signing, "typ": "JWT"}
        kept = json.dumps({k: v for k, v in claims.items() if v is not None})
        return jws.serialize_compact(header, kept, self.keys[self.signing], registry=_REGISTRY)

    def bundle(self, *, use: str = "jwt-svid") -> bytes:
        """The bundle document."""
        keys: list[dict[str, Any]] = [
            {**key.as_dict(private=False), "kid": kid, "use": use} for kid, key in self.keys.items()
        ]
        root = base64.b64encode(self.authority.certificate.public_bytes(Encoding.DER)).decode()
        keys += [{"kty": "EC", "crv": "P-256", "use": "x509-svid", "x5c": [root]}]
        keys += [{"kty": "XYZ", "use": "jwt-svid", "kid": "strange"}, {"kty": "EC", "use": "wit-svid"}]
        document: dict[str, Any] = {"keys": keys, "spiffe_sequence": self.sequence}
        if self.refresh_hint is not None:
            document["spiffe_refresh_hint"] = self.refresh_hint
        return json.dumps(document).encode()

    @property
    def fetches(self) -> int:
        """How often the bundle was asked for."""
        return self.server.seen["/bundle"]

    def close(self) -> None:
        """Stop."""
        self.server.close()

    def _bundle(self, call: Call) -> Answer:
        if self.down:
            return 503, {}, b""
        return 200, {"content-type": "application/json"}, self.body or self.bundle()
