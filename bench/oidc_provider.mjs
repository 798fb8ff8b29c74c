// The peer: npm's oidc-provider with its in-memory adapter; client credentials and introspection.
// Its client shows a password, its tokens are bearer tokens, and nothing is written to a disk.
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
const audience = `${issuer}/api`;
const resource = { scope: "stock.read", audience, accessTokenTTL: 300, accessTokenFormat: "jwt", jwt: { sign: { alg: "ES256" } } };
const provider = new Provider(issuer, {
  clients: [{
    client_id: "ci",
    client_secret: "a-secret-of-some-length-for-this-run",
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: "ES256",
    token_endpoint_auth_method: "client_secret_basic",
  }],
  jwks: { keys: [{ ...key, kid: "k1", use: "sig", alg: "ES256" }] },
  scopes: ["stock.read"],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      // Its JWTs cannot be introspected, so it is asked about opaque ones.
      getResourceServerInfo: () => ({ ...resource, accessTokenFormat: process.argv[3] }),
    },
  },
});
provider.listen(port, "127.0.0.1", () => console.log("up"));
