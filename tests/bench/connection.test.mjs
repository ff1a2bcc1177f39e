import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { get, openConnection } from "../../bench/load/connection.mjs";

/**
 * What the connection makes of replies that arrive in these pieces, each of its own packet.
 * @param {string[][]} replies
 * @param {{ bodies?: boolean }} [options]
 */
async function exchanged(replies, options) {
  const server = createServer({ noDelay: true }, (socket) => {
    let next = 0;
    socket.on("data", async () => {
      for (const piece of replies[next++]) {
        socket.write(piece);
        for (let turns = 0; turns < 5; turns++) await turn();
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const connection = await openConnection(`http://127.0.0.1:${port}`, options);
  try {
    const received = [];
    for (const _ of replies) {
      const { status, body } = await connection.exchange(get("/", "key-0"));
      received.push([status, body.toString()]);
    }
    return received;
  } finally {
    connection.close();
    server.close();
  }
}

test("a reply is complete once its length has arrived", async () => {
  const replies = [
    ["HTTP/1.1 200 OK\r\nConte", "nt-Length: 5\r\n\r", "\nhel", "lo"],
    ["HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"],
    ["HTTP/1.1 304 Not Modified\r\n\r\n"],
  ];
  const expected = [
    [200, "hello"],
    [429, ""],
    [304, ""],
  ];
  assert.deepEqual(await exchanged(replies), expected);
});

test("a reply in chunks is complete with the last of them", async () => {
  const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const chunked = "5\r\nhello\r\n0\r\n\r\n";
  const replies = [
    [`${head}${chunked}`],
    [`${head}5\r\nhel`, "lo\r\n0\r", "\n\r\n"],
    [`${head}0\r\n\r\n`],
    ...[[`${head}5\r\nhello\r\n`, "0\r\n\r\n"]],
  ];
  const expected = [chunked, chunked, "0\r\n\r\n", chunked].map((body) => [200, body]);
  assert.deepEqual(await exchanged(replies), expected);
});

test("a connection that keeps no bodies still reads them", async () => {
  const replies = [
    ["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "lo"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "0\r\n\r\n"],
    ["HTTP/1.1 204 No Content\r\n\r\n"],
  ];
  const expected = [
    [200, ""],
    [200, ""],
    [204, ""],
  ];
  assert.deepEqual(await exchanged(replies, { bodies: false }), expected);
});
