"""The tables of issuers and trust domains are read strictly, by member."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from sojourn.core.errors import Invalid
from sojourn.faces.http.federation_file import read_federation
from sojourn.ports.issuers import BundleProfile

GOOD = """
[issuers."https://gitlab.example"]
networks = ["10.20.0.0/16"]
ca = "/etc/sojourn/inside.pem"
jwks_uri = "https://gitlab.example/keys"
api = "https://gitlab.example/api/v4/"
api_token = "/etc/sojourn/gitlab-token"

[trust_domains."example.org"]
endpoint = "https://spire.example.org:8443/"
profile = "https_spiffe"
endpoint_id = "spiffe://example.org/spire/server"
bundle = "/etc/sojourn/example.org.json"
"""


def test_both_tables_are_read() -> None:
    found = read_federation(tomllib.loads(GOOD))

    place = found.issuers["https://gitlab.example"]
    domain = found.trust_domains["example.org"]
    assert place.reach.networks == ("10.20.0.0/16",) and place.api == "https://gitlab.example/api/v4"
    assert place.api_token == Path("/etc/sojourn/gitlab-token")
    assert domain.profile is BundleProfile.HTTPS_SPIFFE and domain.name == "example.org"


def test_neither_table_is_needed() -> None:
    assert read_federation({}) == read_federation({"issuers": {}, "trust_domains": {}})


@pytest.mark.parametrize(
    "text",
    [
        "issuers = 7",
        'issuers = {"https://a.example" = 7}',
        '[issuers."http://a.example"]',
        '[issuers."https://a.example"]\ncolour = "red"',
        '[issuers."https://a.example"]\nnetworks = "10.0.0.0/8"',
        '[issuers."https://a.example"]\nnetworks = ["10.0.0.1/8"]',
        '[issuers."https://a.example"]\nnetworks = ["everything"]',
        '[issuers."https://a.example"]\napi = "http://a.example"',
        '[issuers."https://a.example"]\nca = 7',
        '[trust_domains."example.org"]',
        '[trust_domains."example.org/x"]\nbundle = "/b"',
        '[trust_domains."Example.org"]\nbundle = "/b"',
        '[trust_domains."example.org"]\nendpoint = "http://a.example"',
        '[trust_domains."example.org"]\nbundle = "/b"\nprofile = "https"',
        '[trust_domains."example.org"]\nendpoint = "https://a.example"\nprofile = "https_spiffe"',
        '[trust_domains."example.org"]\nbundle = "/b"\nendpoint_id = "example.org"',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        read_federation(tomllib.loads(text))

    assert refusal.value.code == "bad_config"
