/** CORS with credentials for a list of origins, as the real API sets it. */

export const ALLOWED_ORIGINS = [
  "http://localhost:3000",
  "http://localhost:5173",
  "http://localhost:8080",
  "https://app.omnitrade.example",
];

/** @type {import("express").Handler} */
export const cors = (req, res, next) => {
  // The answer depends on the origin even if the header is missing or rejected.
  res.vary("Origin");
  const origin = req.headers.origin;
  if (origin !== undefined && ALLOWED_ORIGINS.includes(origin)) {
    res.setHeader("Access-Control-Allow-Origin", origin);
    res.setHeader("Access-Control-Allow-Credentials", "true");
  }
  if (req.method !== "OPTIONS" || !req.headers["access-control-request-method"]) {
    next();
    return;
  }
  res.vary("Access-Control-Request-Headers");
  res.setHeader("Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE");
  const asked = req.headers["access-control-request-headers"];
  if (asked) res.setHeader("Access-Control-Allow-Headers", asked);
  res.setHeader("Content-Length", "0");
  res.status(204).end();
};
