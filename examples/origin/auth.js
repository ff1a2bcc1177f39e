/** Who is asking: any bearer token is taken for a user of its own, none is a 401. */

import { createHash } from "node:crypto";
import { HttpError } from "./errors.js";

/** Leaves the user's name in `res.locals.user`. @type {import("express").Handler} */
export const requireBearer = (req, res, next) => {
  const token = /^Bearer +(\S+)$/i.exec(req.headers.authorization ?? "")?.[1];
  if (token === undefined) throw new HttpError(401, "Missing or invalid Authorization header");
  res.locals.user = `user-${createHash("sha256").update(token).digest("hex").slice(0, 16)}`;
  next();
};
