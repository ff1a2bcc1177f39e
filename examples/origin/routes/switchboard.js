/** `/__origin/control` and `/__origin/counters`: control and observe the server. */

import express from "express";

/**
 * @param {import("../faults.js").Control} control
 * @param {import("../counters.js").Counters} counters
 */
export function switchboard(control, counters) {
  const router = express.Router();

  router.get("/control", (_req, res) => {
    res.json(control.get());
  });

  router.post("/control", express.json({ type: () => true }), (req, res) => {
    control.set(req.body);
    res.json(control.get());
  });

  router.get("/counters", (_req, res) => {
    res.json(counters.get());
  });

  router.post("/counters/reset", (_req, res) => {
    counters.reset();
    res.json(counters.get());
  });

  return router;
}
