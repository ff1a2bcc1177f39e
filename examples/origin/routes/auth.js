/** `/api/auth`. */

import express from "express";
import { HttpError } from "../errors.js";
import { fields } from "../params.js";

export function auth() {
  const router = express.Router();

  router.post("/password-reset-request", (req, res) => {
    const { email } = fields(req.body);
    if (typeof email !== "string" || !/^[^\s@]+@[^\s@]+$/.test(email))
      throw new HttpError(400, ["email must be an email"]);
    // The same message whether such an account exists or not.
    res.status(201).json({ message: "If an account exists for this email, a password reset link has been sent." });
  });

  return router;
}
