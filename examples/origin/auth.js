/**
 * Authentication: a token of the identity provider names its user. For tests that care about no
 * user in particular, each bearer token that begins with `test-` stands for a user of its own.
 */

import { createHash } from "node:crypto";
import { HttpError } from "./errors.js";

/**
 * Stores the user's name in `res.locals.user`; answers 401 without a token that verifies.
 * @param {import("./identity.js").Identity} identity
 * @returns {import("express").Handler}
 */
export const requireUser = (identity) => (req, res, next) => {
  const token = /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? "")?.[1];
  if (token === undefined) throw new HttpError(401, "Missing or invalid Authorization header");
  const user = token.startsWith("test-") ? testUser(token) : identity.userOf(token);
  if (user === undefined) throw new HttpError(401, "Invalid or expired token");
  res.locals.user = user;
  next();
};

/** @param {string} token */
const testUser = (token) => `user-${createHash("sha256").update(token).digest("hex").slice(0, 16)}`;
