/** What promises of this package reject with. It needs no module. */

/** The codes after which the same call may succeed a little later. */
const TRANSIENT = ["timeout", "unreachable", "server"];

export class EdgeError extends Error {
  /**
   * @param {import("@omnitrade/edge").ErrorCode} code
   * @param {boolean} mayHaveRun
   * @param {string} message holds no address, token, command or value
   * @param {string} [redisCode]
   */
  constructor(code, mayHaveRun, message, redisCode) {
    super(message);
    this.code = code;
    this.mayHaveRun = mayHaveRun;
    if (redisCode !== undefined) this.redisCode = redisCode;
  }

  get name() {
    return /** @type {const} */ ("EdgeError");
  }

  /** @param {boolean} idempotent */
  retryIsSafe(idempotent) {
    return TRANSIENT.includes(this.code) && (idempotent || !this.mayHaveRun);
  }
}
