/**
 * The sample API's identity provider: it signs the tokens that users carry, and serves the public
 * keys as a JSON Web Key Set. It stands for the Firebase Authentication that the real API uses.
 */

import { generateKeyPairSync, sign, verify } from "node:crypto";
import { HttpError } from "./errors.js";

/** Who signs, and for whom: `iss` and `aud` of every token. */
export const ISSUER = "https://identity.omnitrade.example";
export const AUDIENCE = "omnitrade";

/** Where the public keys are, on the sample API itself. */
export const JWKS_PATH = "/__origin/jwks.json";

const ALGORITHMS = /** @type {const} */ (["RS256", "ES256", "EdDSA"]);
const HOUR_S = 3_600;
const MAX_TOKEN = 8_192;

/** @typedef {typeof ALGORITHMS[number]} Algorithm */
/**
 * @typedef {object} SigningKey
 * @property {string} kid
 * @property {Algorithm} alg
 * @property {import("node:crypto").KeyObject} privateKey
 * @property {import("node:crypto").KeyObject} publicKey
 */
/**
 * @typedef {object} Wanted what a token is to say
 * @property {string} [user] its `sub`; default "alice"
 * @property {string} [plan] the claim `plan`; without it the token has none
 * @property {number} [expires_in] seconds from now, also negative; default an hour
 * @property {Algorithm} [alg] default RS256
 * @property {string} [kid] the published key that signs; default: the newest one of `alg`
 * @property {boolean} [stranger] sign with a key that is not published. With `kid` the token claims
 *   that published key
 * @property {Record<string, unknown>} [claims] laid over all others; `undefined` takes one out
 */
/** @typedef {ReturnType<typeof createIdentity>} Identity */

/** @param {{ now: () => number, maxAge?: number }} options `maxAge`: of the key set, in seconds */
export function createIdentity({ now, maxAge = HOUR_S }) {
  let generation = 0;
  /**
   * The published keys, newest first. They are made when first needed: RSA keys take a while.
   * @type {SigningKey[]}
   */
  let published = [];
  /** @type {Map<Algorithm, SigningKey>} */
  const strangers = new Map();

  const keys = () => {
    if (published.length === 0) published = generate();
    return published;
  };
  const generate = () => {
    generation++;
    return ALGORITHMS.map((alg) => createKey(alg, `${alg.toLowerCase()}-${generation}`));
  };
  /** @param {Algorithm} alg */
  const strangerOf = (alg) => {
    const key = strangers.get(alg) ?? createKey(alg, `stranger-${alg.toLowerCase()}`);
    strangers.set(alg, key);
    return key;
  };

  return {
    issuer: ISSUER,
    audience: AUDIENCE,

    /**
     * A signed token.
     * @param {Wanted} [wanted]
     * @throws {HttpError} 400 if there is no such key
     */
    issue: ({ user = "alice", plan, expires_in = HOUR_S, alg, kid, stranger = false, claims = {} } = {}) => {
      const named = kid === undefined ? undefined : keys().find((key) => key.kid === kid);
      if (kid !== undefined && !named)
        throw new HttpError(400, [`kid must name a published key, not ${kid.slice(0, 40)}`]);
      const known = named ?? /** @type {SigningKey} */ (keys().find((key) => key.alg === (alg ?? "RS256")));
      if (alg !== undefined && known.alg !== alg) throw new HttpError(400, [`${known.kid} does not sign with ${alg}`]);
      const key = stranger ? strangerOf(known.alg) : known;
      const seconds = Math.floor(now() / 1_000);
      const payload = {
        iss: ISSUER,
        aud: AUDIENCE,
        sub: user,
        iat: seconds,
        auth_time: seconds,
        exp: seconds + expires_in,
        plan,
        ...claims,
      };
      return signed(key, { alg: key.alg, kid: kid ?? key.kid, typ: "JWT" }, payload);
    },

    /**
     * The user of a token that verifies; `undefined` for any other.
     * @param {string} token
     * @returns {string | undefined}
     */
    userOf: (token) => {
      const read = token.length <= MAX_TOKEN ? parse(token) : undefined;
      if (!read) return undefined;
      const { header, payload, input, signature } = read;
      const key = keys().find(({ kid, alg }) => kid === header.kid && alg === header.alg);
      if (!key || !verifies(key, input, signature)) return undefined;
      const { iss, aud, sub, exp } = payload;
      const fits = iss === ISSUER && (Array.isArray(aud) ? aud.includes(AUDIENCE) : aud === AUDIENCE);
      const lives = typeof exp === "number" && exp * 1_000 > now();
      return fits && lives && typeof sub === "string" && sub !== "" ? sub : undefined;
    },

    /**
     * New keys from now on. The earlier ones are taken out of the key set, so that their tokens no
     * longer verify, unless `keep` says otherwise.
     * @param {{ keep?: boolean }} [options]
     * @returns {string[]} the identifiers of all published keys, newest first
     */
    rotate: ({ keep = false } = {}) => {
      published = keep ? [...generate(), ...keys()] : generate();
      return published.map(({ kid }) => kid);
    },

    /** The key set. */
    jwks: () => ({
      keys: keys().map(({ kid, alg, publicKey }) => ({ ...publicKey.export({ format: "jwk" }), kid, alg, use: "sig" })),
    }),

    /** For how many seconds the key set may be cached. */
    maxAge: () => maxAge,
    /** @param {number} seconds */
    setMaxAge: (seconds) => {
      maxAge = seconds;
    },
  };
}

/** @param {unknown} name @returns {name is Algorithm} */
export const isAlgorithm = (name) => ALGORITHMS.includes(/** @type {Algorithm} */ (name));
export const ALGORITHM_NAMES = ALGORITHMS.join(", ");

/** @param {Algorithm} alg @param {string} kid @returns {SigningKey} */
function createKey(alg, kid) {
  const pair =
    alg === "RS256"
      ? generateKeyPairSync("rsa", { modulusLength: 2048 })
      : alg === "ES256"
        ? generateKeyPairSync("ec", { namedCurve: "P-256" })
        : generateKeyPairSync("ed25519");
  return { kid, alg, ...pair };
}

/** @param {SigningKey} key @param {object} header @param {object} payload */
function signed({ alg, privateKey }, header, payload) {
  const input = `${base64url(header)}.${base64url(payload)}`;
  // A JWT has the two numbers of an ECDSA signature side by side (RFC 7518, section 3.4).
  const key = /** @type {const} */ ({ key: privateKey, dsaEncoding: "ieee-p1363" });
  return `${input}.${sign(digestOf(alg), Buffer.from(input), key).toString("base64url")}`;
}

/** @param {SigningKey} key @param {string} input @param {Buffer} signature */
function verifies({ alg, publicKey }, input, signature) {
  const key = /** @type {const} */ ({ key: publicKey, dsaEncoding: "ieee-p1363" });
  return verify(digestOf(alg), Buffer.from(input), key, signature);
}

/** Ed25519 hashes by itself. @param {Algorithm} alg */
const digestOf = (alg) => (alg === "EdDSA" ? null : "sha256");

/** @param {object} part */
const base64url = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");

/** @param {string} token */
function parse(token) {
  const parts = token.split(".");
  if (parts.length !== 3 || !parts.every((part) => /^[\w-]+$/.test(part))) return undefined;
  const [header, payload] = parts.slice(0, 2).map(objectIn);
  if (!header || !payload) return undefined;
  return { header, payload, input: `${parts[0]}.${parts[1]}`, signature: Buffer.from(parts[2], "base64url") };
}

/** @param {string} part @returns {Record<string, unknown> | undefined} */
function objectIn(part) {
  try {
    const value = JSON.parse(Buffer.from(part, "base64url").toString());
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
