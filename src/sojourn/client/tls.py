"""TLS towards the control plane, with a certificate that says who we are (RFC 8705).

A folder holds what cert-manager, step and others write: `tls.crt` (the chain), `tls.key` (0600) and,
where the server's certificate is of a private authority, `ca.crt`. All are read anew when they change,
so a certificate may be renewed under a session that lives. The key stays in its file: neither an
argument nor a variable holds it, and OpenSSL reads the very file that was checked.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sojourn.client.private_file import open_private
from sojourn.core.errors import NotFound, Unavailable

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
AUTHORITIES: Final = "ca.crt"
_Stamp = tuple[tuple[int, int, int] | None, ...]


class ClientTls:
    """What is shown of ourselves on connections, from a folder that somebody keeps fresh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: tuple[_Stamp, ssl.SSLContext] | None = None

    def __repr__(self) -> str:
        return f"ClientTls({self.folder})"

    def context(self) -> ssl.SSLContext:
        """For one more connection; the same as before while no file has changed.

        Raises:
            Invalid: code `unsafe_file`; the key is a link, somebody else's, or readable by others.
            Unavailable: code `evidence_unavailable`; a file is missing, or certificate and key do not
                belong together (yet: they are being renewed).
        """
        stamp = tuple(self._stamp(name) for name in (CERTIFICATE, KEY, AUTHORITIES))
        if self._made is None or self._made[0] != stamp:
            self._made = stamp, self._build()
        return self._made[1]

    def _stamp(self, name: str) -> tuple[int, int, int] | None:
        try:
            found = (self.folder / name).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _build(self) -> ssl.SSLContext:
        try:
            authorities = self.folder / AUTHORITIES
            context = ssl.create_default_context(cafile=str(authorities) if authorities.exists() else None)
            descriptor = open_private(self.folder / KEY)
            try:
                # By descriptor: what was checked is what is read. An encrypted key is not asked about.
                context.load_cert_chain(self.folder / CERTIFICATE, f"/dev/fd/{descriptor}", lambda: "")
            finally:
                os.close(descriptor)
        except (OSError, ValueError, NotFound) as error:
            what = f"cannot use `{CERTIFICATE}` and `{KEY}` in `{self.folder}`"
            raise Unavailable("evidence_unavailable", what) from error
        return context


@dataclass(frozen=True, slots=True)
class CertificateSource:
    """A name; the connection shows the rest."""

    client: str

    def gather(self) -> Mapping[str, str]:
        """Evidence without a secret in it."""
        return {"type": "mtls", "client": self.client}
