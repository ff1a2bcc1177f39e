/**
 * Two properties on random messages with exact bytes: a hit equals the miss that it stands for, and
 * requests that share an entry ask for the same. A failure prints its seed and the bytes: `SEED=…`
 * repeats it, and `TIMES=20` makes twenty times as many cases.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { choices, seed, times } from "../support/random.mjs";
import { askRaw, chunk, combined, END, octets, utf8 } from "../support/raw.mjs";
import { HOST } from "./kit.mjs";
import { DIGESTS, differences, each, endToEnd, SETTLED, setUpRaw } from "./raw-kit.mjs";

/** @typedef {ReturnType<typeof choices>} Choices */
/** @typedef {import("../support/raw.mjs").RawReply} RawReply */

const { raw, here, there, settled, purge } = await setUpRaw({
  edge: {
    cache: { compress_from: "1KB" },
    routes: [
      SETTLED,
      { path: "/plain/{n}", cache: {} },
      { path: "/lasting/{n}", cache: { ttl: "10m" } },
      { path: "/errors/{n}", cache: { ttl: "10m", negative_ttl: "10m", server_errors: true } },
      { path: "/overriding/{n}", cache: { ttl: "10m", override_origin: true } },
      { path: "/by-user/{n}", cache: { ttl: "10m", vary: ["x-user"] } },
      {
        path: "/declared/{n}",
        cache: {
          ttl: "10m",
          query: ["q"],
          vary: ["x-user"],
          forward: ["accept-language", "accept-encoding", "origin"],
        },
      },
      { path: "/keys/{*rest}", cache: { ttl: "10m" } },
      {
        path: "/asked/{*rest}",
        cache: { ttl: "10m", query: ["q", "r"], normalize: { r: "upper" }, defaults: { r: "X" } },
      },
    ],
  },
});

/** What the origin answers and claims to have been asked, by path. @type {Map<string, Case>} */
const cases = new Map();
/**
 * The request and the response of each call of the origin, by its number.
 * @type {Map<string, { target: string, sent: Sent | null }>}
 */
const calls = new Map();
const others = raw.answer;

/**
 * @typedef {object} Sent a response as the origin sends it
 * @property {number} status
 * @property {[string, string][]} fields
 * @property {Buffer} body
 */

/**
 * @typedef {object} Case
 * @property {string} path
 * @property {string[]} routeVary the request headers that the route keys by, in lower case
 * @property {number} status
 * @property {string[]} lines
 * @property {Buffer} body
 * @property {"length" | "chunked" | "close"} framing
 * @property {number[]} cuts where the body is cut into pieces
 * @property {string[]} me what the first caller's request says
 * @property {string[][]} others what the requests of others say
 */

/** Whether a response of this status can have a body. @param {number} status */
const hasBody = (status) => status !== 204 && status !== 304 && status !== 205;

raw.answer = (request) => {
  const made = cases.get(request.target);
  if (made === undefined && !/^\/(keys|asked)\//.test(request.target)) return others(request);
  const call = String(calls.size + 1);
  calls.set(call, { target: request.target, sent: null });
  if (made === undefined) {
    return `HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nX-Call: ${call}\r\nContent-Length: 0\r\n\r\n`;
  }
  const { status, framing, cuts } = made;
  const body = hasBody(status) ? made.body : Buffer.alloc(0);
  const lines = [...made.lines, `X-Call: ${call}`];
  const fields = lines.map((line) => /** @type {[string, string]} */ (fieldOf(line)));
  calls.set(call, { target: request.target, sent: { status, fields, body } });
  const head = [`HTTP/1.1 ${status} ${status === 200 ? "OK" : "Some Reason"}`, ...lines];
  if (!hasBody(status)) return `${head.join("\r\n")}\r\n${status === 205 ? "Content-Length: 0\r\n" : ""}\r\n`;
  if (framing === "length") head.push(`Content-Length: ${body.length}`);
  if (framing === "chunked") head.push("Transfer-Encoding: chunked");
  const pieces = [0, ...cuts].map((from, n) => body.subarray(from, cuts[n] ?? body.length));
  const sent = framing === "chunked" ? [...pieces.filter((piece) => piece.length > 0).map(chunk), chunk("")] : pieces;
  /** @type {import("../support/raw.mjs").Piece[]} */
  const all = [octets(`${head.join("\r\n")}\r\n\r\n`), ...sent];
  return framing === "close" ? [...all, END] : all;
};

/** @param {string} line @returns {[string, string]} */
function fieldOf(line) {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "")];
}

const USERS = ["", "a", "b", "a, b", utf8("é"), utf8("è"), "\xe9", "\xe8", "\xff", "a\x01", "a\x02", utf8("\ufffd")];
const FRESH = ["max-age=600", "s-maxage=600", "max-age=600, s-maxage=900", "public, max-age=600"];
const HARMLESS = ["public", "must-revalidate", "immutable", "proxy-revalidate", "ext", "ext=1", 'ext="a, no-store"'];
const FORBIDDING = ["private", "no-store", "no-cache", "max-age=0", "s-maxage=0", "must-understand"];
const VARIED = ["X-User", "Accept-Language", "Accept-Encoding", "Origin", "X-None"];

/** @param {Choices} make */
function valuesOf(make) {
  const ascii = () => make.list(make.between(0, 24), () => String.fromCharCode(make.between(0x20, 0x7f))).join("");
  const point = () => make.one([0xe9, 0x80, 0x7ff, 0x800, 0x674e, 0x20ac, 0xffff, 0x1f4a5, 0x10ffff, 0xfeff, 0x2028]);
  const wide = () => utf8(make.list(make.between(1, 6), () => String.fromCodePoint(point())).join(""));
  const control = () => String.fromCharCode(make.one([1, 2, 8, 9, 0xb, 0xc, 0x1b, 0x1f, 0x7f, make.between(1, 9)]));
  const octet = () => String.fromCharCode(make.between(0x80, 0x100));
  const palette = make.weighted([
    [30, [ascii]],
    [30, [ascii, wide]],
    [25, [ascii, control, wide]],
    [15, [ascii, octet, control]],
  ]);
  // No line without a value, because workerd drops some of them.
  return () =>
    make
      .list(make.between(1, 4), () => make.one(palette)())
      .join("")
      .replace(/^[ \t]*$/, "v");
}

/**
 * A list in one or more lines, well-formed but odd.
 * @param {Choices} make
 * @param {string} name
 * @param {string[]} members
 */
function listed(make, name, members) {
  const separator = () => make.one([", ", ",", " ,", ",\t", ",, ", " , , "]);
  const cased = members.map((member) => make.one([member, member, member.toUpperCase()]));
  const lines = [""];
  for (const member of cased) {
    if (lines[lines.length - 1] !== "" && make.chance(0.2)) lines.push("");
    lines[lines.length - 1] += lines[lines.length - 1] === "" ? member : separator() + member;
  }
  return lines.map((line) => `${make.one([name, name.toLowerCase()])}: ${make.one(["", "", ", "])}${line}`);
}

/**
 * A list that does not parse.
 * @param {Choices} make
 * @param {string} name
 * @param {string[]} members
 * @param {() => string} value
 */
function mangled(make, name, members, value) {
  const separators = ["; ", ";", " ", "\t", "/", "\x01", "=", '"', ": ", ",;"];
  let line = make.one(["", "", "", ";", "\x7f", "= "]);
  for (const member of members) line += `${member}${make.one([...separators, value()])}`;
  return [`${name}: ${line}`];
}

/** @param {Choices} make @param {() => string} value */
function cacheControlOf(make, value) {
  const some = [make.one(FRESH), ...make.some(HARMLESS, 0.2)];
  return make.weighted([
    [60, () => listed(make, "Cache-Control", make.shuffled(some))],
    [15, () => []],
    [8, () => listed(make, "Cache-Control", make.shuffled([...some, make.one(FORBIDDING)]))],
    [8, () => mangled(make, "Cache-Control", make.shuffled([...some, make.one([...FORBIDDING, "x"])]), value)],
    [4, () => [`Cache-Control: max-age=600, ext="${value().replace(/["\\]/g, "")}"`]],
    [5, () => ["Cache-Control: max-age=600", `Cache-Control: ${value()}`]],
  ])();
}

/** @param {Choices} make @param {() => string} value */
function varyOf(make, value) {
  const some = make.some(VARIED, 0.4);
  return make.weighted([
    [50, () => []],
    [36, () => (some.length === 0 ? [] : listed(make, "Vary", some))],
    [6, () => mangled(make, "Vary", [...some, "Origin"], value)],
    [4, () => listed(make, "Vary", make.shuffled([...some, "*"]))],
    [4, () => ["Vary: X-User", `Vary: ${value()}`]],
  ])();
}

/**
 * A body, and the fields that name its coding.
 * @param {Choices} make
 * @returns {[Buffer, string[]]}
 */
function contentOf(make) {
  const text = make.list(make.between(0, 300), () => make.between(0, 1_000).toString(36)).join(" ");
  const plain = make.chance(0.7)
    ? Buffer.from(text)
    : Buffer.from(make.list(make.between(0, 3_000), () => make.between(0, 256)));
  /** @type {[number, Buffer, string[]][]} */
  const contents = [
    [60, plain, []],
    [14, gzipSync(plain, { level: make.between(0, 10) }), ["gzip"]],
    [12, brotliCompressSync(plain), ["br"]],
    [5, plain, [make.one(["deflate", "zstd", "x-other", "identity"])]],
    [4, gzipSync(plain), [make.one(["GZIP", "x-gzip", "gzip, br", "gzip,", "gzip;q=1"])]],
    [2, gzipSync(plain), ["gzip", "identity"]],
    [3, plain, [make.one(["gzip", "br"])]],
  ];
  const [, body, codings] = make.weighted(contents.map((content) => [content[0], content]));
  return [body, codings.map((coding) => `Content-Encoding: ${coding}`)];
}

/** @param {Buffer} body */
function digestsOf(body) {
  const hash = (/** @type {string} */ algorithm) => createHash(algorithm).update(body).digest("base64");
  return [
    `Content-Digest: sha-256=:${hash("sha256")}:`,
    `Repr-Digest: sha-256=:${hash("sha256")}:`,
    `Digest: SHA-256=${hash("sha256")}`,
    `Content-MD5: ${hash("md5")}`,
  ];
}

/** @param {Choices} make @param {number} n @returns {Case} */
function caseOf(make, n) {
  const value = valuesOf(make);
  const folder = make.one(["plain", "lasting", "errors", "overriding", "by-user", "declared"]);
  const [body, coded] = contentOf(make);
  const status = make.weighted([
    [65, () => 200],
    [20, () => make.one([203, 204, 300, 301, 308, 404, 405, 410, 414, 501])],
    [7, () => make.one([201, 202, 205, 206, 302, 303, 304, 307, 400, 401, 403, 416, 429, 451, 500, 502, 503, 504])],
    [8, () => make.between(200, 1_000)],
  ])();
  const named = (/** @type {string} */ name) => () => `${name}: ${value()}`;
  /** @type {[number, () => string | string[]][]} */
  const optional = [
    [0.5, () => `Content-Type: text/plain${make.one(["", "; charset=utf-8", `; x="${utf8("é")}"`])}`],
    [0.3, () => `ETag: ${make.one(['"v"', 'W/"v"', `"${utf8("é")}"`, '"a", "b"', "v", '"\x7f"'])}`],
    [0.2, () => `Last-Modified: ${make.one(["Wed, 01 Jan 2025 00:00:00 GMT", "yesterday", "0"])}`],
    [0.1, () => `Expires: ${make.one(["Fri, 01 Jan 2100 00:00:00 GMT", "0", "", "never"])}`],
    [0.1, () => `Age: ${make.one(["0", "10", "-1", "x", "1, 2", "601"])}`],
    [0.3, () => `Date: ${make.one([new Date().toUTCString(), new Date().toUTCString(), "Sunday", ""])}`],
    [0.1, named("Content-Disposition")],
    [0.1, named("Content-Language")],
    [0.1, named("Location")],
    [0.1, named("Content-Location")],
    [0.1, named("Link")],
    [0.1, named("Server")],
    [0.1, named("Warning")],
    [0.05, named("Content-Range")],
    [0.05, named("Accept-Ranges")],
    [0.05, named("Retry-After")],
    [0.05, named("Access-Control-Allow-Origin")],
    [0.05, named("Via")],
    [0.05, named("Pragma")],
    [0.05, named("No-Vary-Search")],
    [0.03, () => `Set-Cookie: n=${value()}`],
    [0.05, () => `CDN-Cache-Control: ${make.one(["max-age=600", "max-age=600, x=1", "no-store", value()])}`],
    [0.05, () => `Surrogate-Control: ${make.one(["max-age=600", value()])}`],
    [0.1, () => ["Connection: X-Hop, keep-alive", `X-Hop: ${value()}`, "Keep-Alive: timeout=9"]],
    [0.05, named("Proxy-Authenticate")],
    [0.05, () => ["Trailer: X-Late", `X-RateLimit-Remaining: ${value()}`]],
    [0.1, () => make.some(["RateLimit: x", "X-Edge-Limiter: evil", "X-Data-Age: 7", "Cache-Status: Other; hit"], 0.5)],
    [0.2, () => digestsOf(body)],
    [0.05, () => "Cache-Control: no-transform"],
    [0.6, () => make.list(make.between(1, 4), () => `X-Any-${make.between(1, 4)}: ${value()}`)],
    [0.1, () => ["X-Empty:", `X-Empty: ${value()}`, "X-Empty:   "]],
    [0.1, () => `${make.one(["x_odd", "X.Odd", "x'odd", "X|Odd~", "1"])}: ${value()}`],
  ];
  const lines = [
    ...cacheControlOf(make, value),
    ...varyOf(make, value),
    ...coded,
    ...optional.flatMap(([share, line]) => (make.chance(share) ? line() : [])),
  ];
  const me = callerOf(make);
  return {
    path: `/${folder}/${n}`,
    routeVary: folder === "by-user" || folder === "declared" ? ["x-user"] : [],
    status,
    lines: make.chance(0.5) ? lines : make.shuffled(lines),
    body,
    framing: make.one(["length", "length", "chunked", "close"]),
    cuts: make.list(make.between(0, 4), () => make.between(0, body.length + 1)).sort((a, b) => a - b),
    me,
    others: make.list(2, () => otherThan(make, me)),
  };
}

/** The header lines of a request. @param {Choices} make */
function callerOf(make) {
  /** @type {[number, () => string | string[]][]} */
  const optional = [
    [0.6, () => `Accept-Encoding: ${make.one(["gzip", "br", "gzip, br", "identity", "deflate"])}`],
    [0.6, () => `X-User: ${make.one([...USERS, "a", "a", "b"])}`],
    [0.1, () => ["X-User: c", `X-User: ${make.one(USERS)}`]],
    [0.4, () => `Accept-Language: ${make.one(["en", "de", "en;q=0.5", "\xe9"])}`],
    [0.3, () => `Origin: ${make.one(["http://a.example", "http://b.example", "null"])}`],
  ];
  return optional.flatMap(([share, line]) => (make.chance(share) ? line() : []));
}

/** A request that differs in one header, or in all. @param {Choices} make @param {string[]} me */
function otherThan(make, me) {
  if (make.chance(0.2)) return callerOf(make);
  const name = make.one(["X-User", "X-User", "Accept-Language", "Accept-Encoding", "Origin"]);
  const rest = me.filter((line) => fieldOf(line)[0] !== name);
  return [...rest, ...callerOf(make).filter((line) => fieldOf(line)[0] === name)];
}

/**
 * The names in a `Vary`, in lower case; null if the answer is for one client only.
 * @param {[string, string][]} fields
 */
function variedBy(fields) {
  const names = (combined({ fields }, "vary") ?? "").split(",").map((name) => name.replace(/^[ \t]+|[ \t]+$/g, ""));
  const given = names.filter((name) => name !== "");
  return given.every((name) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) && name !== "*")
    ? given.map((name) => name.toLowerCase())
    : null;
}

/** @param {string[]} request @param {string} name */
const said = (request, name) => combined({ fields: request.map(fieldOf) }, name);

/** Whether octets are UTF-8 that JavaScript reads without loss. @param {string} text */
const isUtf8 = (text) => !octets(text).toString("utf8").includes("\ufffd");

/**
 * Whether the gate treats a status as a failure of the origin: a status that cannot be handed on,
 * or one with which Cloudflare reports an origin that it cannot reach.
 * @param {number} status
 */
const isFailure = (status) => status > 599 || (status >= 520 && status <= 527) || status === 530;

/**
 * What is wrong with an answer.
 * @param {Case} made @param {string[]} request @param {RawReply} reply
 * @param {Map<string, { request: string[], reply: RawReply }>} known the answers so far, by the
 *   call of the origin that made them
 * @returns {{ hit: boolean, faults: string[] }}
 */
function judged(made, request, reply, known) {
  if (isFailure(made.status)) {
    const own = [502, 504].includes(reply.status) && combined(reply, "content-type") === "application/problem+json";
    return { hit: false, faults: own ? [] : [`a status of ${made.status} is answered ${reply.status}`] };
  }
  const call = combined(reply, "x-call") ?? "";
  const sent = calls.get(call)?.sent;
  if (!sent) return { hit: false, faults: ["no answer of the origin's"] };
  const dated = (combined(sent, "date") ?? "") !== "";
  const faults = [...falseDigests(reply)];
  const first = known.get(call);
  if (first === undefined) {
    known.set(call, { request, reply });
    // workerd drops lines without a value for fields that it knows, and keeps those of other
    // fields.
    const [told, got] = [sent, reply].map(({ fields }) => fields.filter(([, value]) => value !== ""));
    const message = /** @type {RawReply} */ ({ ...reply, ...sent, fields: told, whole: true });
    const changed = differencesOf(message, { ...reply, fields: got }, dated);
    const lost = changed.filter((fault) => !isDigestLost(fault, sent));
    return { hit: false, faults: [...faults, ...lost.map((fault) => `not as the origin sent it: ${fault}`)] };
  }
  faults.push(...differencesOf(first.reply, reply, dated));
  const varied = variedBy(sent.fields);
  if (varied === null) faults.push("shared, though it varies by all");
  for (const name of new Set([...(varied ?? []), ...made.routeVary])) {
    const [one, other] = [said(first.request, name), said(request, name)];
    // Every client accepts a body without a coding (RFC 9110 §12.5.3).
    if (name === "accept-encoding" && combined(reply, "content-encoding") === undefined) continue;
    if (one !== other) faults.push(`shared by who says ${name}: ${JSON.stringify(one)}, and ${JSON.stringify(other)}`);
    if (!isUtf8(one ?? "")) faults.push(`shared, though ${name} is not UTF-8: ${JSON.stringify(one)}`);
  }
  for (const [name, value] of endToEnd({ fields: sent.fields })) {
    if (!isUtf8(value)) faults.push(`stored, though ${name} is not UTF-8`);
    if (name === "set-cookie") faults.push("stored, though it sets a cookie");
  }
  return { hit: true, faults };
}

/**
 * As {@link differences}, but a body that does not fit its coding counts as a difference too.
 * @type {(a: RawReply, b: RawReply, dated: boolean) => string[]}
 */
function differencesOf(miss, hit, dated) {
  try {
    return differences(miss, hit, { dated });
  } catch (error) {
    return [`not of its coding: ${error}`];
  }
}

/**
 * Whether a fault is the loss of a field that describes a coded body, which may be removed together
 * with the coding.
 * @param {string} fault
 * @param {Sent} sent
 */
function isDigestLost(fault, sent) {
  const isCoded = combined(sent, "content-encoding") !== undefined;
  return isCoded && DIGESTS.some((name) => fault.startsWith(`${name}:`) && fault.endsWith("then undefined"));
}

/** @param {RawReply} reply */
function falseDigests(reply) {
  if (!hasBody(reply.status)) return [];
  const own = digestsOf(reply.body).map(fieldOf);
  return own.flatMap(([name, value]) => {
    const told = combined(reply, name);
    return told === undefined || told === value ? [] : [`${name} is of other bytes`];
  });
}

/** @param {Case} made @param {Map<string, { request: string[], reply: RawReply }>} known */
function shown(made, known) {
  return [
    `origin: HTTP/1.1 ${made.status}, ${made.framing}, cut at ${made.cuts}`,
    ...made.lines.map((line) => `  ${JSON.stringify(line)}`),
    `  body: ${JSON.stringify(made.body.toString("latin1"))}`,
    ...[...known.values()].flatMap(({ request, reply }) => [
      `asked: ${JSON.stringify(request)}`,
      `answered: ${JSON.stringify(reply.head)}`,
      `  body: ${JSON.stringify(reply.text)}`,
    ]),
  ].join("\n");
}

test("a hit is the miss", async (t) => {
  const root = seed();
  t.diagnostic(`SEED=${root}`);
  const make = choices(root);
  const total = times(160);
  let hits = 0;
  for (let done = 0; done < total; ) {
    /** @type {{ path: string, faults: string[], told: string }[]} */
    const failures = [];
    const batch = make.list(Math.min(80, total - done), () => {
      done++;
      const made = caseOf(make, done);
      cases.set(made.path, made);
      return { made, known: new Map() };
    });
    /**
     * @type {[isolate: { url: string }, whose: number][][]} who asks where, in turns; 0: the first
     * caller
     */
    const turns = [
      [[here, 0]],
      [
        [here, 0],
        [there, 0],
        [here, 1],
        [there, 1],
        [there, 2],
      ],
      [
        [here, 2],
        [here, 1],
        [there, 0],
      ],
    ];
    for (const turn of turns) {
      await each(batch, async ({ made, known }) => {
        for (const [isolate, whose] of turn) {
          const request = whose === 0 ? made.me : made.others[whose - 1];
          const reply = await askRaw(isolate, made.path, { fields: request });
          const { hit, faults } = judged(made, request, reply, known);
          if (hit && turn === turns[1] && whose === 0 && isolate === here) hits++;
          if (faults.length === 0) continue;
          const where = isolate === here ? "here" : "there";
          failures.push({
            path: made.path,
            faults,
            told:
              `${made.path}, asked ${where}: ${JSON.stringify(request)}\n${faults.join("\n")}\n` +
              `${shown(made, known)}\nnow answered: ${JSON.stringify(reply.head)}\n  body: ${JSON.stringify(reply.text)}`,
          });
        }
      });
      await settled(here);
      await settled(there);
    }
    const all = failures.flatMap(({ path, faults }) => faults.map((fault) => `${path}: ${fault}`)).join("\n  ");
    assert.equal(
      failures.length,
      0,
      `SEED=${root}, the first of ${failures.length} (${hits} hits): ${failures[0]?.told}\nall:\n  ${all}`,
    );
    for (const { made } of batch) cases.delete(made.path);
    calls.clear();
  }
  t.diagnostic(`${hits} of ${total} were hits`);
  assert.ok(hits > total / 4, `SEED=${root}: only ${hits} of ${total} were hits`);
});

const PIECES = [
  "a",
  "B",
  "~",
  "-",
  "x1",
  "%7e",
  "%7E",
  "%41",
  "%2F",
  "%2f",
  "%3B",
  "%3b",
  ";x=1",
  "'",
  '"',
  "{",
  "}",
  "|",
].concat(
  [
    "^",
    "\\",
    "`",
    "<",
    "[",
    "]",
    "!",
    "$",
    "(",
    "*",
    "+",
    ",",
    "=",
    ":",
    "@",
    "é",
    "李",
    "%C3%A9",
    "%c3%a9",
    "%E9",
    "%25",
  ],
  ["%20", "%22", "%27", "%7B", "%7b", "%5E", "%5C", "%60", "%00", "%0A", "%2E", "."],
);

/** @param {Choices} make @param {string} below */
function targetOf(make, below) {
  const segment = () => make.list(make.between(1, 4), () => make.one(PIECES)).join("");
  const path = make.list(make.between(1, 3), segment).join(make.one(["/", "/", "//", "/./", "/y/../"]));
  const pair = () => `${make.one(["q", "q", "r", "r", "utm", segment()])}${make.one(["=", "=", ""])}${segment()}`;
  const query = make.list(make.between(1, 4), pair).join("&");
  return `${below}${path}${make.one(["", "/"])}${make.one(["", "?", `?${query}`, `?${query}`, `?${query}&q=%`])}`;
}

/**
 * Another spelling of a target, which may be a different request.
 * @param {Choices} make
 * @param {string} target
 * @param {string} below
 */
function respelt(make, target, below) {
  const rest = target.slice(below.length);
  const at = make.between(0, rest.length + 1);
  const [before, after] = [rest.slice(0, at), rest.slice(at)];
  const hex = (/** @type {string} */ text) =>
    [...Buffer.from(text)].map((octet) => `%${octet.toString(16).padStart(2, "0")}`).join("");
  const one = String.fromCodePoint(after.codePointAt(0) ?? 0x61);
  const [path, query] = [rest.split("?")[0], rest.split("?").slice(1).join("?")];
  const isWhole = !/%[0-9a-f]?$/i.test(before);
  return (
    below +
    make.weighted([
      [
        3,
        () =>
          isWhole && !"%/?&=".includes(one)
            ? before + make.one([hex(one), hex(one).toUpperCase()]) + after.slice(one.length)
            : rest,
      ],
      [2, () => rest.replace(/%[0-9a-f]{2}/gi, (octet) => make.one([octet.toLowerCase(), octet.toUpperCase()]))],
      [
        2,
        () =>
          rest.replace(/%(7e|41|2d|2e|22|27|7b|5e|60|20)/gi, (octet) => decodeURIComponent(octet).replace(" ", "+")),
      ],
      [1, () => new URL(`http://${HOST}${target}`).href.slice(`http://${HOST}${below}`.length)],
      [1, () => rest.toUpperCase()],
      [1, () => `./${rest}`],
      [1, () => `z/../${rest}`],
      [1, () => rest.replaceAll("/", "//")],
      [1, () => `${path}/${query && `?${query}`}`],
      [1, () => `${path};y=2${query && `?${query}`}`],
      [1, () => `${path}?${make.shuffled(query.split("&")).join("&")}`],
      [1, () => `${path}?${query}&${make.one(["utm=1", "q=2", "r=x", "R=X", "r", ""])}`],
      [1, () => rest.replaceAll("+", "%20")],
      [1, () => rest.replace("?", "%3F")],
    ])()
  );
}

test("what shares an entry is one question, and purged in each spelling", async (t) => {
  const root = seed();
  t.diagnostic(`SEED=${root}`);
  const make = choices(root);
  const total = times(200);
  let place = 0;
  const counts = { asked: 0, shared: 0, otherwise: 0 };
  for (let done = 0; done < total; ) {
    const batch = make.list(Math.min(100, total - done), () => {
      done++;
      place++;
      const below = `/${make.one(["keys", "asked"])}/${place}/`;
      const one = targetOf(make, below);
      return {
        one,
        other: make.chance(0.1) ? one : respelt(make, make.chance(0.3) ? respelt(make, one, below) : one, below),
      };
    });
    /** @param {string} target @param {string[]} [fields] */
    const ask = async (target, fields = []) => {
      const reply = await askRaw(here, utf8(target), { fields });
      const call = combined(reply, "x-call") ?? "";
      return { status: reply.status, call, target: calls.get(call)?.target ?? `answered ${reply.status}` };
    };
    const firsts = await each(batch, ({ one }) => ask(one));
    await settled();
    const seconds = await each(batch, ({ other }) => ask(other));
    /** @type {{ one: string, other: string, call: string }[]} */
    const shared = [];
    await each(batch.entries(), async ([n, { one, other }]) => {
      const [first, second] = [firsts[n], seconds[n]];
      if (first.call === "" || second.call === "") return;
      counts.asked++;
      if (second.call !== first.call) return;
      shared.push({ one, other, call: first.call });
      if (one !== other) counts.otherwise++;
    });
    counts.shared += shared.length;
    // What the origin gets for the other spelling, if it is asked.
    const forced = await each(shared, ({ other }) => ask(other, ["Cache-Control: no-cache"]));
    for (const [n, { one, other, call }] of shared.entries()) {
      assert.equal(
        forced[n].target,
        calls.get(call)?.target,
        `SEED=${root}: one entry for ${JSON.stringify(one)} and ${JSON.stringify(other)}`,
      );
    }
    await settled();
    const stored = await each(shared, ({ one }) => ask(one));
    for (let from = 0; from < shared.length; from += 100) {
      const named = shared
        .slice(from, from + 100)
        .map(({ other }) => (make.chance(0.5) ? other : `http://${HOST}${other}`));
      const reply = await purge(named);
      assert.equal(reply.status, 200, `SEED=${root}: ${reply.text}`);
    }
    const later = await each(shared, ({ one }) => ask(one));
    for (const [n, { one, other }] of shared.entries()) {
      assert.notEqual(
        later[n].call,
        stored[n].call,
        `SEED=${root}: ${JSON.stringify(one)} is still there after a purge of ${JSON.stringify(other)}`,
      );
    }
    calls.clear();
  }
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.asked > total / 3 && counts.otherwise > total / 10, `SEED=${root}: ${JSON.stringify(counts)}`);
});
