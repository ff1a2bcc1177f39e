/** The API's own limit: 300 requests per 15 minutes and address, in the memory of this process. */

import { rateLimit } from "express-rate-limit";
import { errorBody } from "./errors.js";

export const QUOTA = 300;
const WINDOW_MS = 15 * 60_000;

/** It sends `RateLimit-Limit`, `-Remaining`, `-Reset` with every answer. */
export const createLimiter = () =>
  /** @type {import("express").Handler} */ (
    /** @type {unknown} */ (
      rateLimit({
        windowMs: WINDOW_MS,
        limit: QUOTA,
        standardHeaders: "draft-6",
        legacyHeaders: false,
        message: errorBody(429, "Too many requests from this IP, please try again later."),
      })
    )
  );
