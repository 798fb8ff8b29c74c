"""OpenSSH user certificates: made for one session, refused and cut at the host when it ends."""

from sojourn.providers.ssh.provider import OpenSsh

__all__ = ["OpenSsh"]
