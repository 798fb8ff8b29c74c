// The whole OAuth surface over mutual TLS, as npm's oauth4webapi sees it: client and resource server.
// The plan comes on standard input as JSON; what was seen goes to standard output as JSON.
import { createHash, createPrivateKey, sign, randomUUID, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import https from "node:https";
import { pathToFileURL } from "node:url";

const oauth = await import(pathToFileURL(process.argv[2]).href);
const plan = JSON.parse(await new Promise((done) => {
  let text = "";
  process.stdin.on("data", (piece) => (text += piece)).on("end", () => done(text));
}));
const TYPE = "urn:ietf:params:oauth:token-type:";
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ca = readFileSync(plan.ca);
const b64 = (bytes) => Buffer.from(bytes).toString("base64url");
const printOf = (der) => b64(createHash("sha256").update(der).digest());
const derOf = (pair) => new X509Certificate(readFileSync(pair.pem)).raw;

// The library's fetch, over connections that show a certificate (or none).
function over(pair) {
  const shown = pair ? { cert: readFileSync(pair.pem), key: readFileSync(pair.key) } : {};
  return (url, options) => new Promise((done, fail) => {
    const headers = Object.fromEntries(new Headers(options.headers));
    const body = options.body === undefined ? undefined : String(options.body);
    if (body !== undefined) headers["content-length"] = Buffer.byteLength(body);
    const asked = https.request(url, { method: options.method, headers, ca, ...shown, agent: false }, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece)).on("end", () =>
        done(new Response(Buffer.concat(pieces), { status: answer.statusCode, headers: answer.headers })));
    });
    asked.on("error", fail).end(body);
  });
}
const by = (pair) => ({ [oauth.customFetch]: over(pair) });

function introduce(parent, child) {
  const now = Math.floor(Date.now() / 1000);
  const head = { typ: "sojourn-introduction+jwt", alg: "ES256", x5c: [derOf(parent).toString("base64")] };
  const claims = { sub: `x5t#S256:${printOf(derOf(child))}`, aud: plan.issuer, iat: now, exp: now + 60, jti: randomUUID() };
  const signed = `${b64(JSON.stringify(head))}.${b64(JSON.stringify(claims))}`;
  const key = { key: createPrivateKey(readFileSync(parent.key)), dsaEncoding: "ieee-p1363" };
  return `${signed}.${b64(sign("sha256", Buffer.from(signed), key))}`;
}

// -- discovery, and a session by client credentials ------------------------------------------
const issuer = new URL(plan.issuer);
const as = await oauth.processDiscoveryResponse(
  issuer, await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...by(null) }));
const me = { client_id: plan.client_id, use_mtls_endpoint_aliases: true };
const auth = oauth.TlsClientAuth();
const details = JSON.stringify([{ type: "sojourn_session", task: { kind: "demo", ref: "node" }, grants: plan.grants }]);
const form = { authorization_details: details, resource: plan.audiences[0] };
const opened = await oauth.processClientCredentialsResponse(
  as, me, await oauth.clientCredentialsGrantRequest(as, me, auth, form, by(plan.own)));
let impostor = "given";
try {
  await oauth.processClientCredentialsResponse(
    as, me, await oauth.clientCredentialsGrantRequest(as, me, auth, form, by(plan.other)));
} catch (error) {
  impostor = error.error ?? error.code; // invalid_client is told by a challenge, too
}

// -- the resource server: introspection says what the token is bound to (RFC 8705, section 3.2) ---
// (The library's own check of a JWT knows no certificates: it refuses every token that is bound to one.)
const guard = { client_id: plan.guard.client_id };
const inspect = async (token) => oauth.processIntrospectionResponse(
  as, guard, await oauth.introspectionRequest(as, guard, auth, token, by(plan.guard)));

function serve() {
  const context = { cert: readFileSync(plan.server.pem), key: readFileSync(plan.server.key), requestCert: true, rejectUnauthorized: false };
  const server = https.createServer(context, async (request, answer) => {
    const shown = request.socket.getPeerCertificate(true).raw;
    const [scheme, token] = (request.headers.authorization ?? "").split(" ");
    const told = scheme === "Bearer" ? await inspect(token) : { active: false };
    const sent = told.active && shown && told.cnf["x5t#S256"] === printOf(shown);
    answer.writeHead(sent ? 200 : 401).end(sent ? told.sub : "refused");
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}

const resource = await serve();
const place = `https://127.0.0.1:${resource.address().port}/stock`;
async function at(token, pair) {
  const answer = await oauth.protectedResourceRequest(token, "GET", new URL(place), new Headers(), null, by(pair)).catch((error) => error);
  return answer instanceof Error ? `refused: ${answer.code ?? answer.message}` : answer.text();
}

const atResource = await at(opened.access_token, plan.own);
const thief = await at(opened.access_token, plan.other);
const bare = await at(opened.access_token, null);

// -- exchange: another audience, and a child with a certificate of its own ----------------------
const subject = { subject_token: opened.access_token, subject_token_type: `${TYPE}access_token` };
const exchange = async (who, how, more, pair) => oauth.processGenericTokenEndpointResponse(
  as, who, await oauth.genericTokenEndpointRequest(as, who, how, EXCHANGE, { ...subject, ...more }, by(pair)));
const second = await exchange(me, auth, { resource: plan.audiences[1] }, plan.own);
const actor = { actor_token: introduce(plan.own, plan.child), actor_token_type: `${TYPE}jwt`, resource: plan.audiences[0] };
const born = await exchange(me, auth, actor, plan.child);
let stolen = "given";
try {
  await exchange(me, auth, { resource: plan.audiences[1] }, plan.other);
} catch (error) {
  stolen = error.error ?? error.code;
}
const elsewhere = await at(second.access_token, plan.own);
const atChild = await at(born.access_token, plan.child);

// -- introspection and revocation ---------------------------------------------------------------
const before = await inspect(opened.access_token);
const childBefore = await inspect(born.access_token);
const foreign = await inspect(second.access_token);
await oauth.processRevocationResponse(await oauth.revocationRequest(as, me, auth, opened.access_token, by(plan.own)));
const after = await inspect(opened.access_token);
const childAfter = await inspect(born.access_token);
resource.close();

process.stdout.write(JSON.stringify({
  opened, second, born, impostor, atResource, thief, bare, stolen, elsewhere, atChild,
  before, childBefore, foreign, after, childAfter,
}));
