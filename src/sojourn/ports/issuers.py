"""Where issuers and trust domains are reached; written by who runs the server, in its own file.

An issuer that only a rule names is reached at public addresses. Anything inside a private
network has to be allowed here, so that no rule can make the server speak to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reach:
    """Which addresses a request may go to besides public ones, and whose certificates count."""

    networks: tuple[str, ...] = ()  # such as 10.0.0.0/8
    ca: Path | None = None  # a PEM file; None: what the system trusts


@dataclass(frozen=True, slots=True)
class IssuerPlace:
    """How one issuer is reached."""

    reach: Reach = Reach()
    jwks_uri: str | None = None  # None: as its discovery document says
    api: str | None = None  # where to ask whether a job or pod still runs
    api_token: Path | None = None  # a file with the credential for that


class BundleProfile(StrEnum):
    """How a bundle endpoint is authenticated (SPIFFE Federation, section 5.2)."""

    HTTPS_WEB = "https_web"
    HTTPS_SPIFFE = "https_spiffe"


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """Where the bundle of one SPIFFE trust domain comes from."""

    name: str
    endpoint: str | None = None  # None: the file alone
    profile: BundleProfile = BundleProfile.HTTPS_WEB
    endpoint_id: str | None = None  # for https_spiffe: the SPIFFE ID of the endpoint
    bundle: Path | None = None  # a bundle to begin with; https_spiffe needs one
    reach: Reach = Reach()


@dataclass(frozen=True, slots=True)
class Federation:
    """Every issuer, trust domain and host of hooks that the server's file says something about."""

    issuers: Mapping[str, IssuerPlace] = field(default_factory=dict)
    trust_domains: Mapping[str, TrustDomain] = field(default_factory=dict)
    hook_hosts: Mapping[str, Reach] = field(default_factory=dict)  # where hooks may be, besides public
