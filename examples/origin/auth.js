/**
 * Authentication: any bearer token stands for a user of its own, and a request without one gets a
 * 401.
 */

import { createHash } from "node:crypto";
import { HttpError } from "./errors.js";

/** Stores the user's name in `res.locals.user`. @type {import("express").Handler} */
export const requireBearer = (req, res, next) => {
  const token = /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? "")?.[1];
  if (token === undefined) throw new HttpError(401, "Missing or invalid Authorization header");
  res.locals.user = `user-${createHash("sha256").update(token).digest("hex").slice(0, 16)}`;
  next();
};
