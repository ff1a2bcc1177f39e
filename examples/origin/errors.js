/** Errors in the format of NestJS: `{ statusCode, message, error }`. */

import { STATUS_CODES } from "node:http";

/** An error that is meant for the client. */
export class HttpError extends Error {
  /**
   * @param {number} status @param {string | string[]} message a list if several fields are wrong
   */
  constructor(status, message) {
    super(String(message));
    this.status = status;
    this.body = errorBody(status, message);
  }
}

/** @param {number} status @param {string | string[]} [message] */
export function errorBody(status, message) {
  const error = STATUS_CODES[status] ?? "Error";
  return { statusCode: status, message: message ?? error, error };
}

/** The last route. @type {import("express").Handler} */
export const nothingHere = (req, res) => {
  res.status(404).json(errorBody(404, `Cannot ${req.method} ${req.path}`));
};

/**
 * Express recognises an error handler by its four parameters.
 * @type {import("express").ErrorHandler}
 */
export const answerError = (error, req, res, _next) => {
  // The response has begun already, or the client has disconnected.
  if (res.headersSent || req.socket.destroyed) {
    res.destroy();
    return;
  }
  if (error instanceof HttpError) {
    res.status(error.status).json(error.body);
    return;
  }
  // Express and its body parser give malformed escapes, bad JSON and large bodies a status of their
  // own.
  const { status, message } = /** @type {{ status?: unknown, message?: unknown }} */ (error ?? {});
  if (typeof status === "number" && status >= 400 && status < 500) {
    res.status(status).json(errorBody(status, String(message)));
    return;
  }
  console.error(error);
  res.status(500).json(errorBody(500));
};
