/** `/__origin`: the identity provider's tokens and keys. */

import express from "express";
import { HttpError } from "../errors.js";
import { ALGORITHM_NAMES, isAlgorithm } from "../identity.js";
import { declared, fields, text } from "../params.js";

const MAX_SECONDS = 1e9;
const WANTED = ["user", "plan", "expires_in", "alg", "kid", "stranger"];

/** @param {import("../identity.js").Identity} identity */
export function identityRoutes(identity) {
  const router = express.Router();

  router.get("/jwks.json", (_req, res) => {
    res.set("Cache-Control", `public, max-age=${identity.maxAge()}`);
    res.json(identity.jwks());
  });

  /** @type {import("express").Handler} */
  const token = (req, res) => {
    declared(req.query, WANTED);
    const [user, plan, life, alg, kid, stranger] = WANTED.map((name) => text(req.query, name));
    if (alg !== undefined && !isAlgorithm(alg)) throw new HttpError(400, [`alg must be one of: ${ALGORITHM_NAMES}`]);
    const expires_in = life === undefined ? undefined : secondsOf("expires_in", Number(life), -MAX_SECONDS);
    const issued = identity.issue({ user, plan, expires_in, alg, kid, stranger: stranger === "true" });
    res.set("Cache-Control", "no-store");
    res.json({ token: issued });
  };
  router.get("/token", token);
  router.post("/token", token);

  router.post("/identity", express.json({ type: () => true }), (req, res) => {
    const { rotate, max_age, ...others } = fields(req.body);
    const wrong = Object.keys(others).map((name) => `property ${name.slice(0, 40)} should not exist`);
    if (rotate !== undefined && rotate !== "keep" && rotate !== "replace") wrong.push("rotate must be keep or replace");
    if (wrong.length > 0) throw new HttpError(400, wrong);
    if (max_age !== undefined) identity.setMaxAge(secondsOf("max_age", max_age, 0));
    if (rotate !== undefined) identity.rotate({ keep: rotate === "keep" });
    res.json({ kids: identity.jwks().keys.map(({ kid }) => kid), max_age: identity.maxAge() });
  });

  return router;
}

/** @param {string} name @param {unknown} value @param {number} min */
function secondsOf(name, value, min) {
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= MAX_SECONDS) return value;
  throw new HttpError(400, [`${name} must be a whole number of seconds from ${min} to ${MAX_SECONDS}`]);
}
