/** A page that limits itself, before its server has to: there is no store in it. */
import { RateLimiter } from "@omnitrade/edge";

const limiter = new RateLimiter({ quota: 3, window: "5s" });
const button = /** @type {HTMLButtonElement} */ (document.querySelector("button"));
const status = /** @type {HTMLElement} */ (document.querySelector("[role=status]"));

button.addEventListener("click", async () => {
  const result = await limiter.limit("clicks");
  status.textContent = result.success
    ? `sent, ${result.remaining} left`
    : `not sent: wait ${(result.retryAfter / 1_000).toFixed(1)} s`;
});
