/**
 * The script asks to lock its keys only. If the store does not know this feature, the gate notices
 * that once.
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { ask, limiter, listen, newClient, rateLimit, startGateBefore, surroundings } from "./kit.mjs";

const FIRST_LINE = "#!lua flags=allow-key-locking\n";
const path = "/__origin/status/201";

const { origin, rest } = await surroundings();

/**
 * A REST server that refuses scripts with the flag's line, in front of one that accepts it.
 * @param {string} error
 */
async function startStrict(error) {
  /** The requests to it: the command, and whether its script has the line. @type {string[]} */
  const asked = [];
  const server = createServer(async (from, to) => {
    const pieces = [];
    for await (const piece of from) pieces.push(piece);
    const body = Buffer.concat(pieces).toString();
    const [name, script] = JSON.parse(body);
    const locking = script.startsWith(FIRST_LINE);
    asked.push(locking ? `${name} locking` : name);
    if (locking) return to.writeHead(400).end(JSON.stringify({ error }));
    const { authorization = "", "upstash-encoding": encoding } = from.headers;
    const headers = { authorization, ...(encoding ? { "upstash-encoding": String(encoding) } : {}) };
    const reply = await fetch(rest.url, { method: "POST", headers, body });
    to.writeHead(reply.status, { "content-type": "application/json" }).end(await reply.text());
  });
  return { url: await listen(server), token: rest.token, asked };
}

for (const [name, error] of /** @type {const} */ ([
  ["as Redis says it", "ERR Unexpected flag in script shebang: allow-key-locking"],
  ["as an older one says it", "ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'"],
])) {
  test(`a store that refuses the line is noticed once, and by no client: ${name}`, async () => {
    const store = await startStrict(error);
    const edge = {
      redis: { key_prefix: `strict${name.length}` },
      default_limits: ["ten"],
      limits: { ten: { by: "ip", window: "10m", quota: 10 } },
    };
    const gate = await startGateBefore({ origin, store }, { edge, isolates: 2 });
    for (const isolate of gate.isolates) {
      const start = store.asked.length;
      const headers = newClient();
      for (let left = 9; left >= 5; left--) {
        const reply = await ask(isolate, path, { headers });
        assert.equal(reply.status, 201);
        assert.equal(limiter(reply), "redis");
        assert.equal(rateLimit(reply).ten.r, left, "charged once");
      }
      const asked = store.asked.slice(start);
      assert.equal(asked.filter((command) => command === "EVAL locking").length, 1, asked.join());
      assert.deepEqual(asked.slice(-4), Array(4).fill("EVALSHA"), "one call for each request, with the plain script");
    }
    assert.deepEqual(gate.logs(), []);
    const health = JSON.parse((await ask(gate, "/__edge/health")).text);
    assert.deepEqual(health, { status: "ok", store: "closed" });
  });
}
