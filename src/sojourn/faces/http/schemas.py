"""What callers send, and the bounds of each member. Unknown members are refused, nothing is coerced."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,256}$")]
Action = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,128}$")]
Audience = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,256}$")]
Instant = Annotated[str, StringConstraints(max_length=40, pattern=r"^[0-9]{4}-[0-9T:.Zz+-]+$")]
Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,8}[smhd]$")]
Base64Url = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
ClaimName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.:/-]{0,63}$")]
RuleValue = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Detail = Annotated[str, StringConstraints(max_length=500)]
Counter = Annotated[int, Field(ge=0, lt=2**53)]


class Wire(BaseModel):
    """Base of everything that is read from a body."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PublicKey(Wire):
    """A public P-256 key (RFC 7517); a private member is an unknown member and refused."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Base64Url
    y: Base64Url
    alg: Literal["ES256"] | None = None
    use: Literal["sig"] | None = None
    kid: Line | None = None

    def members(self) -> dict[str, str]:
        """The four members that are the key (RFC 7638, section 3.2)."""
        return {"kty": self.kty, "crv": self.crv, "x": self.x, "y": self.y}


class EvidenceBody(Wire):
    """What a workload presents to be recognised."""

    type: Name
    assertion: Annotated[str, StringConstraints(min_length=1, max_length=8192, pattern=r"^[\x21-\x7e]+$")] = (
        ""  # a certificate needs none
    )
    client: Name | None = None  # which client it stands for; a key says so by itself


class TaskBody(Wire):
    """The work: `kind` picks the charter, `ref` names this one run."""

    kind: Name
    ref: Line


class OpenBody(Wire):
    """Ask for a session."""

    evidence: EvidenceBody
    task: TaskBody
    grants: Annotated[list[Name], Field(max_length=64)] = []
    duration_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    context: Annotated[dict[Name, Line], Field(max_length=32)] = {}
    supersedes: Line | None = None


class ChildBody(Wire):
    """Ask for a child; `key_proof` is a DPoP proof of this request by the child's own key."""

    key_proof: Annotated[str, StringConstraints(min_length=1, max_length=8192, pattern=r"^[\x21-\x7e]+$")]
    ref: Line | None = None
    grants: Annotated[list[Name], Field(max_length=64)] = []
    drop_actions: Annotated[list[Action], Field(max_length=256)] = []
    duration_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    context: Annotated[dict[Name, Line], Field(max_length=32)] = {}


class BeatBody(Wire):
    """I live, and this shows who I am; `renew` asks for one renewal."""

    renew: bool = False
    evidence: EvidenceBody | None = None


class CompleteBody(Wire):
    """The work is done; `job_finished` says that the platform declared it over, in its words."""

    job_finished: Detail | None = None


class NarrowBody(Wire):
    """What to give up; `lower` names for a grant a template that says less."""

    drop: Annotated[list[Name], Field(max_length=64)] = []
    drop_actions: Annotated[list[Action], Field(max_length=256)] = []
    closes: Instant | None = None
    lower: Annotated[dict[Name, Name], Field(max_length=64)] = {}


class EnterBody(Wire):
    """The phase of the charter to go on to."""

    name: Name


class StopBody(Wire):
    """Why, in words for people."""

    detail: Detail = ""


class ResumeBody(Wire):
    """Fresh evidence for a suspended session."""

    evidence: EvidenceBody


class MarkBody(Wire):
    """A place in the order of commits."""

    epoch: Counter
    n: Counter


class FeedBody(Wire):
    """What the guard knows so far; null: nothing."""

    mark: MarkBody | None


class LoginBody(Wire):
    """A one-time link and the key that takes its place."""

    link: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[\x21-\x7e]+$")]
    name: Name | None = None
    jwk: PublicKey


CertificateMember = Literal["self_signed", "subject_dn", "san_dns", "san_uri", "san_ip", "san_email"]
CertificateValue = Annotated[str, StringConstraints(min_length=1, max_length=24_000)]


class ClientBody(Wire):
    """A caller to register."""

    name: Name
    role: Literal["workload", "guard", "operator"]
    owner: Line
    jwk: PublicKey | None = None
    audience: Audience | None = None
    attestor: Name | None = None  # for a workload without a key
    rule: Annotated[dict[ClaimName, RuleValue], Field(max_length=32)] = {}
    certificate: dict[CertificateMember, CertificateValue] | None = Field(
        default=None, min_length=1, max_length=1
    )


class CredentialBody(Wire):
    """The admin credential that a target has from now on; it is sealed at once and never shown again."""

    secret: Annotated[str, StringConstraints(min_length=1, max_length=4096)] = Field(repr=False)


class ReconcileBody(Wire):
    """What to do about what was found; by itself a comparison changes nothing."""

    apply: bool = False
    destroy_unknown: bool = False


class TargetBody(Wire):
    """A target to add; `secret` is sealed at once and never shown again."""

    name: Name
    provider: Name
    settings: Annotated[dict[Name, object], Field(max_length=64)]
    templates: Annotated[dict[Name, dict[str, object]], Field(max_length=64)]
    secret: Annotated[str, StringConstraints(min_length=1, max_length=4096)] = Field(repr=False)
