// The whole OAuth surface, as npm's oauth4webapi sees it: client and resource server, with DPoP.
// The plan comes on standard input as JSON; what was seen goes to standard output as JSON.
import { webcrypto as crypto } from "node:crypto";
import { pathToFileURL } from "node:url";

const oauth = await import(pathToFileURL(process.argv[2]).href);
const plan = JSON.parse(await new Promise((done) => {
  let text = "";
  process.stdin.on("data", (piece) => (text += piece)).on("end", () => done(text));
}));
const plain = { [oauth.allowInsecureRequests]: true };
const TYPE = "urn:ietf:params:oauth:token-type:";
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ES256 = { name: "ECDSA", namedCurve: "P-256" };

const importKey = (jwk) => crypto.subtle.importKey("jwk", jwk, ES256, false, ["sign"]);
const pair = () => crypto.subtle.generateKey(ES256, true, ["sign", "verify"]);
const b64 = (bytes) => Buffer.from(bytes).toString("base64url");

async function thumbprint(key) {
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", key);
  return b64(await crypto.subtle.digest("SHA-256", Buffer.from(JSON.stringify({ crv, kty, x, y }))));
}

async function introduce(parent, child) {
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", parent.publicKey);
  const now = Math.floor(Date.now() / 1000);
  const head = { typ: "sojourn-introduction+jwt", alg: "ES256", jwk: { crv, kty, x, y } };
  const claims = { sub: await thumbprint(child.publicKey), aud: plan.issuer, iat: now, exp: now + 60, jti: crypto.randomUUID() };
  const signed = `${b64(JSON.stringify(head))}.${b64(JSON.stringify(claims))}`;
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, parent.privateKey, Buffer.from(signed));
  return `${signed}.${b64(signature)}`;
}

// -- discovery -----------------------------------------------------------------------------
const issuer = new URL(plan.issuer);
const seen = {};
for (const algorithm of ["oauth2", "oidc"]) {
  const found = await oauth.discoveryRequest(issuer, { algorithm, ...plain });
  seen[algorithm] = await oauth.processDiscoveryResponse(issuer, found);
}
const as = seen.oauth2;
const resource = await oauth.processResourceDiscoveryResponse(issuer, await oauth.resourceDiscoveryRequest(issuer, plain));

// -- a session by client credentials -------------------------------------------------------
const client = { client_id: plan.workload.client_id };
const auth = oauth.PrivateKeyJwt(await importKey(plan.workload.jwk));
const holder = await pair();
const DPoP = oauth.DPoP(client, holder);
const details = JSON.stringify([{ type: "sojourn_session", task: { kind: "demo", ref: "node" }, grants: plan.grants }]);
const opened = await oauth.processClientCredentialsResponse(
  as, client,
  await oauth.clientCredentialsGrantRequest(as, client, auth, { authorization_details: details, resource: plan.audiences[0] }, { DPoP, ...plain }),
);

// -- the resource server: DPoP, signature by the JWKS, audience ------------------------------
async function accepted(token, keys, audience) {
  const url = `${plan.issuer}/somewhere`;
  const headers = { authorization: `DPoP ${token}`, dpop: await prove(keys, "GET", url, token) };
  const request = new Request(url, { headers });
  try {
    const claims = await oauth.validateJwtAccessToken(as, request, audience, { requireDPoP: true, ...plain });
    return claims.sub;
  } catch (error) {
    return `refused: ${error.code ?? error.message}`;
  }
}

async function prove(keys, htm, htu, token) {
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", keys.publicKey);
  const head = { typ: "dpop+jwt", alg: "ES256", jwk: { crv, kty, x, y } };
  const ath = b64(await crypto.subtle.digest("SHA-256", Buffer.from(token)));
  const claims = { jti: crypto.randomUUID(), htm, htu, iat: Math.floor(Date.now() / 1000), ath };
  const signed = `${b64(JSON.stringify(head))}.${b64(JSON.stringify(claims))}`;
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, keys.privateKey, Buffer.from(signed));
  return `${signed}.${b64(signature)}`;
}

const atResource = await accepted(opened.access_token, holder, plan.audiences[0]);
const elsewhere = await accepted(opened.access_token, holder, plan.audiences[1]);
const thief = await accepted(opened.access_token, await pair(), plan.audiences[0]);

// -- exchange: another audience, and a child --------------------------------------------------
const subject = { subject_token: opened.access_token, subject_token_type: `${TYPE}access_token` };
const second = await oauth.processGenericTokenEndpointResponse(
  as, client,
  await oauth.genericTokenEndpointRequest(as, client, auth, EXCHANGE, { ...subject, resource: plan.audiences[1] }, { DPoP, ...plain }),
);
const childKeys = await pair();
const born = await oauth.processGenericTokenEndpointResponse(
  as, client,
  await oauth.genericTokenEndpointRequest(
    as, client, oauth.None(), EXCHANGE,
    { ...subject, actor_token: await introduce(holder, childKeys), actor_token_type: `${TYPE}jwt`, resource: plan.audiences[0] },
    { DPoP: oauth.DPoP(client, childKeys), ...plain },
  ),
);
const atSecond = await accepted(second.access_token, holder, plan.audiences[1]);

// -- introspection and revocation ---------------------------------------------------------------
const guard = { client_id: plan.guard.client_id };
const guardAuth = oauth.PrivateKeyJwt(await importKey(plan.guard.jwk));
const inspect = async (who, how, token) =>
  oauth.processIntrospectionResponse(as, who, await oauth.introspectionRequest(as, who, how, token, plain));
const before = await inspect(guard, guardAuth, opened.access_token);
const signed = await oauth.introspectionRequest(as, guard, guardAuth, opened.access_token, { requestJwtResponse: true, ...plain });
const inSigned = await oauth.processIntrospectionResponse(as, guard, signed);
await oauth.validateApplicationLevelSignature(as, signed, plain);
const foreign = await inspect(guard, guardAuth, second.access_token);
const child = await inspect(guard, guardAuth, born.access_token);
await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, opened.access_token, plain));
const after = await inspect(guard, guardAuth, opened.access_token);
const childAfter = await inspect(guard, guardAuth, born.access_token);
let late = "given";
try {
  await oauth.processGenericTokenEndpointResponse(
    as, client,
    await oauth.genericTokenEndpointRequest(as, client, auth, EXCHANGE, subject, { DPoP, ...plain }),
  );
} catch (error) {
  late = error.error ?? error.code;
}

process.stdout.write(JSON.stringify({
  discovered: [seen.oauth2.issuer, seen.oidc.issuer], resource: resource.resource,
  opened, second, born, atResource, elsewhere, thief, atSecond, before, inSigned, foreign, child, after, childAfter, late,
}));
