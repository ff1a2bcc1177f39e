/** Content codings that the platform undoes: no answer has digests of other bytes than its own. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { askRaw, combined, linesOf } from "../support/raw.mjs";
import { cacheStatus } from "./kit.mjs";
import { DIGESTS, decoded, each, SETTLED, setUpRaw } from "./raw-kit.mjs";

const { here, there, serve, settled, shared, requestsOf } = await setUpRaw({
  edge: {
    routes: [
      SETTLED,
      { path: "/plain/{n}", cache: {} },
      { path: "/lasting/{n}", cache: { ttl: "10m" } },
      { path: "/declared/{n}", cache: { ttl: "10m", query: ["q"] } },
    ],
  },
});
const folders = ["/plain/", "/lasting/", "/declared/"];
const FRESH = "Cache-Control: max-age=600";

const text = Buffer.from(Array.from({ length: 900 }, (_, n) => ((n * 7919) % 1013).toString(36)).join(" "));

/**
 * A gzip body that no other encoder produces: it has a name and a time in its head, and little
 * compression.
 */
const gzipped = Buffer.concat([
  Buffer.from([0x1f, 0x8b, 8, 0x08, 1, 2, 3, 4, 0, 7]),
  Buffer.from("name.txt\0"),
  gzipSync(text, { level: 1 }).subarray(10),
]);
const brotli = brotliCompressSync(text);

/** @type {[coding: string, body: Buffer][]} */
const coded = [
  ["gzip", gzipped],
  ["br", brotli],
];

/** @param {Buffer} body @param {string} algorithm */
const hash = (body, algorithm) => createHash(algorithm).update(body).digest("base64");

/** The digests of a body, as fields. @param {Buffer} body */
function digestsOf(body) {
  return [
    `Content-Digest: sha-256=:${hash(body, "sha256")}:`,
    `Repr-Digest: sha-256=:${hash(body, "sha256")}:, sha-512=:${hash(body, "sha512")}:`,
    `Digest: SHA-256=${hash(body, "sha256")}`,
    `Content-MD5: ${hash(body, "md5")}`,
  ];
}

/**
 * Checks that the digests of an answer are those of its bytes.
 * @param {import("./raw-kit.mjs").RawReply} reply
 * @param {string} why
 */
function isTrue(reply, why) {
  const own = digestsOf(reply.body);
  for (const name of DIGESTS) {
    const value = combined(reply, name);
    if (value === undefined) continue;
    const said = own.find((line) => line.toLowerCase().startsWith(`${name}:`)) ?? assert.fail();
    assert.equal(value, said.slice(said.indexOf(" ") + 1), `${why}: ${name} of other bytes`);
  }
}

const ACCEPTED = [
  [],
  ["Accept-Encoding: gzip"],
  ["Accept-Encoding: br"],
  ["Accept-Encoding: gzip, br"],
  ["Accept-Encoding: identity"],
];

for (const [coding, body] of coded) {
  test(`no answer has a digest of other bytes than its own: ${coding}`, async () => {
    const ways = folders.flatMap((folder) =>
      /** @type {const} */ (["length", "chunked"]).flatMap((framing) =>
        ACCEPTED.map((accepted) => ({ folder, framing, accepted })),
      ),
    );
    await each(ways, async ({ folder, framing, accepted }) => {
      const fields = [FRESH, `Content-Encoding: ${coding}`, "Vary: Accept-Encoding", ...digestsOf(body)];
      const path = serve(folder, { fields, body, framing });
      const why = `${folder} ${framing} ${accepted}`;
      const first = await askRaw(here, path, { fields: accepted });
      assert.deepEqual(decoded(first), text, why);
      isTrue(first, `${why}, first`);
      await settled();
      for (const later of ACCEPTED) {
        for (const isolate of [here, there]) {
          const reply = await askRaw(isolate, path, { fields: later });
          assert.deepEqual(decoded(reply), text, why);
          isTrue(reply, `${why}, then ${later}, ${combined(reply, "cache-status")}`);
        }
      }
      const head = await askRaw(here, path, { method: "HEAD", fields: accepted });
      const reply = await askRaw(here, path, { fields: accepted });
      for (const name of DIGESTS) {
        const told = combined(head, name);
        assert.ok(told === undefined || told === combined(reply, name), `${why}: HEAD has another ${name}`);
      }
    });
  });
}

test("a digest of a body that no coding touches stays with it", async () => {
  for (const folder of folders) {
    const path = serve(folder, { fields: [FRESH, ...digestsOf(text)], body: text });
    for (const reply of Object.values(await shared(path))) {
      for (const name of DIGESTS) assert.notEqual(combined(reply, name), undefined, name);
      isTrue(reply, folder);
    }
  }
});

test("a part of what is stored has no digest of the whole as its own", async () => {
  for (const folder of folders) {
    const path = serve(folder, {
      fields: [FRESH, 'ETag: "v"', "Accept-Ranges: bytes", ...digestsOf(text)],
      body: text,
    });
    await shared(path);
    for (const isolate of [here, there]) {
      const part = await askRaw(isolate, path, { fields: ["Range: bytes=10-19"] });
      if (part.status !== 206) continue;
      assert.deepEqual(part.body, text.subarray(10, 20));
      for (const name of ["content-digest", "content-md5"]) {
        const value = combined(part, name);
        const own = digestsOf(part.body).map((line) => line.slice(line.indexOf(" ") + 1));
        assert.ok(value === undefined || own.includes(value), `${name}: ${value}`);
      }
    }
  }
});

test("a digest from a 304 stands beside no bytes that it does not describe", async () => {
  for (const [coding, body] of coded) {
    const path = serve("/plain/", (_, request) => {
      const fields = ['ETag: "v"', "Cache-Control: no-cache", ...digestsOf(body)];
      return linesOf(request, "if-none-match").length > 0
        ? { status: 304, reason: "Not Modified", fields, framing: "none", body: "" }
        : { fields: [`Content-Encoding: ${coding}`, ...fields], body };
    });
    await askRaw(here, path);
    await settled();
    for (const isolate of [here, there, here]) {
      const reply = await askRaw(isolate, path);
      assert.deepEqual(decoded(reply), text);
      isTrue(reply, coding);
    }
    assert.ok(
      requestsOf(path).some((request) => linesOf(request, "if-none-match").length > 0),
      "it was validated",
    );
  }
});

for (const [coding, body] of coded) {
  test(`no-transform is answered byte for byte each time: ${coding}`, async () => {
    const lists = [
      ["max-age=600, no-transform"],
      ["no-transform"],
      ["max-age=600", "No-Transform"],
      ["no-transform, public, s-maxage=600, x=1"],
    ];
    const ways = lists.flatMap((list) =>
      folders.flatMap((folder) => ACCEPTED.map((accepted) => ({ list, folder, accepted }))),
    );
    await each(ways, async ({ list, folder, accepted }) => {
      const lines = list.map((value) => `Cache-Control: ${value}`);
      const fields = [...lines, `Content-Encoding: ${coding}`, 'ETag: "v"', ...digestsOf(body)];
      const path = serve(folder, { fields, body });
      const first = await askRaw(here, path, { fields: accepted });
      await settled();
      const later = await each([here, there], (isolate) => askRaw(isolate, path, { fields: accepted }));
      for (const reply of [first, ...later]) {
        assert.deepEqual(linesOf(reply, "content-encoding"), [coding], `${folder} ${lines}`);
        assert.ok(reply.body.equals(body), `${folder} ${lines}: other bytes`);
        assert.equal(combined(reply, "etag"), '"v"');
        for (const name of DIGESTS) assert.notEqual(combined(reply, name), undefined, name);
        isTrue(reply, folder);
      }
    });
  });
}

test("no-transform without a coding is answered byte for byte, stored or not", async () => {
  for (const folder of folders) {
    const fields = ["Cache-Control: max-age=600, no-transform", 'ETag: "v"', ...digestsOf(text)];
    const path = serve(folder, { fields, body: text });
    for (let n = 0; n < 3; n++) {
      const reply = await askRaw([here, here, there][n], path, { fields: ["Accept-Encoding: gzip"] });
      assert.ok(reply.body.equals(text));
      assert.equal(combined(reply, "content-encoding"), undefined);
      assert.equal(combined(reply, "etag"), '"v"');
      isTrue(reply, folder);
      await settled();
    }
  }
});

test("a coding that the platform leaves is left, with what describes it", async () => {
  for (const coding of ["deflate", "x-other", "gzip, br", "zstd"]) {
    const path = serve("/lasting/", { fields: [`Content-Encoding: ${coding}`, ...digestsOf(gzipped)], body: gzipped });
    const first = await askRaw(here, path);
    await settled();
    for (const reply of [first, await askRaw(here, path), await askRaw(there, path)]) {
      assert.ok(reply.body.equals(gzipped), `${coding} ${combined(reply, "cache-status")}`);
      assert.equal(combined(reply, "content-encoding"), coding);
      isTrue(reply, coding);
    }
  }
});

test("a body that is not of its coding is nobody's hit", async () => {
  for (const coding of ["gzip", "br"]) {
    const path = serve("/lasting/", (call) => ({
      fields: [`Content-Encoding: ${coding}`],
      body: `no such coding ${call}`,
    }));
    const first = await askRaw(here, path);
    await settled();
    for (const isolate of [here, there]) {
      const reply = await askRaw(isolate, path);
      assert.equal(cacheStatus(reply).hit, undefined, coding);
      assert.notEqual(reply.text, first.text);
    }
    assert.equal(cacheStatus(first).stored, undefined, coding);
  }
});
