/** `/__origin`: bodies that are long, slow, broken or partial. */

import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import express from "express";
import { integer, text } from "../params.js";

const MAX_STREAM_BYTES = 1024 ** 3;
const MAX_CHUNK_BYTES = 1024 ** 2;
const MAX_DELAY_MS = 60_000;

/** The byte at offset i is i modulo this prime, so that no buffer size hides a shift. */
const PERIOD = 251;
const PATTERN = Buffer.from(Array.from({ length: MAX_CHUNK_BYTES + PERIOD }, (_, i) => i % PERIOD));

const RANGE_BYTES = 10 * 1024;
const RANGE_ETAG = '"range-1"';
const RANGE_MODIFIED = "Wed, 01 Jan 2025 00:00:00 GMT";

export function bodies() {
  const router = express.Router();

  router.get("/stream", async (req, res) => {
    const bytes = integer(req.query, "bytes", { min: 0, max: MAX_STREAM_BYTES, fallback: 1024 ** 2 });
    const chunk = integer(req.query, "chunk", { min: 1, max: MAX_CHUNK_BYTES, fallback: 64 * 1024 });
    const delay = integer(req.query, "delay", { min: 0, max: MAX_DELAY_MS, fallback: 0 });
    res.setHeader("Content-Type", "application/octet-stream");
    if (text(req.query, "length") === "true") res.setHeader("Content-Length", bytes);
    res.flushHeaders();
    if (req.method === "HEAD") res.end();
    else await send(res, pattern(bytes, chunk, delay));
  });

  router.get("/slow-body", async (req, res) => {
    const parts = integer(req.query, "parts", { min: 1, max: 1000, fallback: 5 });
    const gap = integer(req.query, "gap", { min: 0, max: MAX_DELAY_MS, fallback: 200 });
    res.setHeader("Content-Type", "text/plain; charset=utf-8");
    res.flushHeaders();
    if (req.method === "HEAD") res.end();
    else await send(res, lines(parts, gap));
  });

  for (const method of /** @type {const} */ (["post", "put"])) {
    router[method]("/sink", async (req, res) => {
      const start = performance.now();
      const hash = createHash("sha256");
      let bytes = 0;
      let pieces = 0;
      let firstByteMs = null;
      for await (const piece of req) {
        firstByteMs ??= performance.now() - start;
        hash.update(piece);
        bytes += piece.length;
        pieces++;
      }
      res.json({ bytes, sha256: hash.digest("hex"), pieces, firstByteMs, endMs: performance.now() - start });
    });
  }

  router.get("/short", (req, res) => {
    res.writeHead(200, { "Content-Type": "application/octet-stream", "Content-Length": 1000 });
    if (req.method === "HEAD") {
      res.end();
      return;
    }
    // Only after the kernel has taken these bytes, so that only the rest is cut off.
    res.write(PATTERN.subarray(0, 100), () => res.socket?.end());
  });

  router.all("/reset", (req) => {
    req.socket.resetAndDestroy();
  });

  router.all("/hang", () => {});

  router.get("/range", (req, res) => {
    res.set({
      "Accept-Ranges": "bytes",
      "Content-Type": "application/octet-stream",
      ETag: RANGE_ETAG,
      "Last-Modified": RANGE_MODIFIED,
    });
    if (req.fresh) {
      res.status(304).end();
      return;
    }
    const part = requestedRange(req);
    if (part === "unsatisfiable") {
      res.status(416).set("Content-Range", `bytes */${RANGE_BYTES}`).end();
      return;
    }
    const { start, end } = part ?? { start: 0, end: RANGE_BYTES - 1 };
    if (part) res.status(206).set("Content-Range", `bytes ${start}-${end}/${RANGE_BYTES}`);
    res.setHeader("Content-Length", end - start + 1);
    res.end(PATTERN.subarray(start, end + 1));
  });

  return router;
}

/**
 * Respects the reader's back pressure. A reader that disconnects is no error here.
 * @param {import("express").Response} res
 * @param {AsyncIterable<Buffer>} source
 */
async function send(res, source) {
  await pipeline(Readable.from(source, { objectMode: false }), res).catch(() => res.destroy());
}

// A pause must not keep a process alive whose server has closed, so the timers are not referenced.

/** @param {number} bytes @param {number} chunk @param {number} delay milliseconds between chunks */
async function* pattern(bytes, chunk, delay) {
  for (let offset = 0; offset < bytes; offset += chunk) {
    if (delay > 0 && offset > 0) await sleep(delay, undefined, { ref: false });
    const shift = offset % PERIOD;
    yield PATTERN.subarray(shift, shift + Math.min(chunk, bytes - offset));
  }
}

/** @param {number} parts @param {number} gap milliseconds */
async function* lines(parts, gap) {
  for (let part = 1; part <= parts; part++) {
    if (part > 1) await sleep(gap, undefined, { ref: false });
    yield Buffer.from(`part ${part} of ${parts}\n`);
  }
}

/**
 * The requested range; undefined stands for the whole body.
 * @param {import("express").Request} req
 */
function requestedRange(req) {
  if (req.method !== "GET" || !isSameVersion(req.headers["if-range"])) return undefined;
  const ranges = req.range(RANGE_BYTES, { combine: true });
  if (ranges === -1) return "unsatisfiable";
  // A request for several ranges may be answered with the whole body: RFC 9110, section 14.2.
  return Array.isArray(ranges) && ranges.type === "bytes" && ranges.length === 1 ? ranges[0] : undefined;
}

/** If-Range: a strong ETag, or the exact date. @param {unknown} validator */
const isSameVersion = (validator) =>
  validator === undefined || validator === RANGE_ETAG || validator === RANGE_MODIFIED;
