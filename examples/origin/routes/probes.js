/**
 * `/__origin`: responses that the request describes, to test what a gate does with requests and
 * headers.
 */

import { createHash } from "node:crypto";
import { validateHeaderName, validateHeaderValue } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import express from "express";
import { HttpError } from "../errors.js";
import { integer, text } from "../params.js";

const MAX_DELAY_MS = 60_000;

export function probes() {
  const router = express.Router();
  let served = 0;

  router.all("/echo", async (req, res) => {
    const hash = createHash("sha256");
    let size = 0;
    for await (const piece of req) {
      hash.update(piece);
      size += piece.length;
    }
    answer(res, 200, {
      method: req.method,
      url: req.originalUrl,
      path: req.baseUrl + req.path,
      query: req.query,
      httpVersion: req.httpVersion,
      headers: req.headers,
      rawHeaders: req.rawHeaders,
      ip: req.ip,
      ips: req.ips,
      protocol: req.protocol,
      remoteAddress: req.socket.remoteAddress,
      body: { size, sha256: hash.digest("hex") },
    });
  });

  router.all("/status/:code", (req, res) => {
    const code = statusOf(req.params.code, 200, 599);
    answer(res, code, { status: code });
  });

  router.all("/redirect", (req, res) => {
    const code = statusOf(text(req.query, "code") ?? "302", 300, 399);
    const to = text(req.query, "to") ?? "/__origin/echo";
    checkHeader("Location", to);
    res.writeHead(code, { Location: to }).end();
  });

  router.all("/cookies", (_req, res) => {
    // If the two are joined into one header, the comma in the date makes them unreadable.
    res.setHeader("Set-Cookie", [
      "session=abc123; Path=/; HttpOnly; SameSite=Lax",
      "theme=dark; Path=/; Expires=Wed, 01 Jan 2031 00:00:00 GMT",
    ]);
    answer(res, 200, { cookies: 2 });
  });

  router.all("/headers", async (req, res) => {
    served++;
    const query = new URLSearchParams(req.originalUrl.split("?").slice(1).join("?"));
    const headers = [...query].filter(([name]) => !name.startsWith("__"));
    for (const [name, value] of headers) checkHeader(name, value);
    const delay = integer(req.query, "__delay", { min: 0, max: MAX_DELAY_MS, fallback: 0 });
    const unchanged = query.has("__revalidate") && isUnchanged(req, query);
    const status = unchanged ? 304 : statusOf(query.get("__status") ?? "200", 200, 599);
    if (delay > 0) await sleep(delay, undefined, { ref: false });
    // Only the headers that were requested, and the Date.
    res.removeHeader("X-Powered-By");
    for (const [name, value] of headers) res.appendHeader(name, value);
    res.status(status).end((query.get("__body") ?? "").replaceAll("{n}", String(served)));
  });

  const plain = Buffer.from(
    JSON.stringify({ items: Array.from({ length: 200 }, (_, i) => ({ id: i, name: `item ${i}` })) }),
  );
  const zipped = gzipSync(plain);
  const digest = createHash("sha256").update(plain).digest("hex").slice(0, 16);

  router.get("/gzip", (req, res) => {
    const zip = req.acceptsEncodings("gzip", "identity") === "gzip";
    res.vary("Accept-Encoding");
    res.setHeader("Content-Type", "application/json; charset=utf-8");
    // The ETag is strong, so each encoding has its own: RFC 9110, section 8.8.3.3.
    res.setHeader("ETag", zip ? `"${digest}-gzip"` : `"${digest}"`);
    if (zip) res.setHeader("Content-Encoding", "gzip");
    if (req.fresh) res.status(304).end();
    else res.setHeader("Content-Length", zip ? zipped.length : plain.length).end(zip ? zipped : plain);
  });

  return router;
}

/**
 * JSON without the ETag that Express would add.
 * @param {import("express").Response} res
 * @param {number} status
 * @param {unknown} body
 */
function answer(res, status, body) {
  const bytes = Buffer.from(JSON.stringify(body));
  res.status(status).setHeader("Content-Type", "application/json; charset=utf-8");
  if (status !== 204 && status !== 304) res.setHeader("Content-Length", bytes.length);
  res.end(bytes);
}

/** @param {string} value @param {number} min @param {number} max */
function statusOf(value, min, max) {
  const status = /^\d{3}$/.test(value) ? Number(value) : 0;
  if (status < min || status > max) throw new HttpError(400, `the status must be a number from ${min} to ${max}`);
  return status;
}

/** @param {string} name @param {string} value */
function checkHeader(name, value) {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  } catch {
    throw new HttpError(400, `${name.slice(0, 40)} cannot be sent as a header`);
  }
}

/**
 * Whether the request's validators match those that the response would have.
 * @param {import("express").Request} req
 * @param {URLSearchParams} query
 */
function isUnchanged(req, query) {
  /** @param {string} wanted */
  const header = (wanted) => [...query].find(([name]) => name.toLowerCase() === wanted)?.[1];
  const asked = req.headers["if-none-match"];
  if (asked !== undefined) {
    const etag = header("etag")?.replace(/^W\//, "");
    return (
      etag !== undefined && (asked === "*" || asked.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag))
    );
  }
  const since = Date.parse(req.headers["if-modified-since"] ?? "");
  return Date.parse(header("last-modified") ?? "") <= since;
}
