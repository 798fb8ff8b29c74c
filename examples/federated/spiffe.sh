#!/bin/sh
# A SPIFFE workload without a secret: its trust domain vouches for it, and renews it while it is registered.
#
# Once, as an operator, with the trust domain in the server's file:
#   sojourn client add deploy --owner team-shop --spiffe --match id=spiffe://example.org/ci/deploy
#   sojourn charter apply deploy.yaml    # with `clients: [deploy]`
#
# Beside it runs spiffe-helper, which keeps the SVID fresh:
#   agent_address = "/run/spire/agent.sock"
#   cert_dir = "/run/sojourn"
#   jwt_svids = [{ jwt_audience = "https://sojourn.example", jwt_svid_file_name = "svid.jwt" }]
set -eu

export SOJOURN_SERVER=https://sojourn.example
export SOJOURN_CLIENT=deploy
export SOJOURN_EVIDENCE="spiffe:${SVID_FILE:-/run/sojourn/svid.jwt}"

exec sojourn run --task "deploy:$(hostname)" -- ./migrate.sh
