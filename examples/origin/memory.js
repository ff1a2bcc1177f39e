/** The API's own cache: an answer is given again until its time is over. */

/** Answers beyond this number push out the oldest, so that a client cannot fill the memory. */
const MAX_ANSWERS = 1_000;

/** @typedef {ReturnType<typeof createMemory>} Memory */

/** @param {{ now: () => number, on: boolean }} options `on`: whether it keeps anything at all */
export function createMemory({ now, on }) {
  /** @type {Map<string, { answer: unknown, until: number }>} */
  const kept = new Map();

  return {
    /**
     * The answer that was given to the same question less than `ms` ago, or a new one.
     * @template T
     * @param {unknown[]} question
     * @param {number} ms
     * @param {(time: number) => T} answer
     * @returns {T}
     */
    keep: (question, ms, answer) => {
      const time = now();
      if (!on) return answer(time);
      const key = JSON.stringify(question);
      const known = kept.get(key);
      if (known && time < known.until) return /** @type {T} */ (known.answer);
      const made = answer(time);
      kept.delete(key);
      kept.set(key, { answer: made, until: time + ms });
      if (kept.size > MAX_ANSWERS) kept.delete(/** @type {string} */ (kept.keys().next().value));
      return made;
    },
  };
}
