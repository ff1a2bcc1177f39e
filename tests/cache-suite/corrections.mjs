/**
 * Tests of version 0.4.5 of the suite that ask for something else than RFC 9111, which is newer, or
 * RFC 9213. Each of them runs as it was published and, under another id, as the RFC has it.
 */

/**
 * @typedef {{
 *   id: string,
 *   name: string,
 *   kind?: "required" | "optimal" | "check",
 *   browser_only?: boolean,
 *   depends_on?: string[],
 *   requests: any[],
 * }} Test
 */

const FIRST = "RFC 9111 §5.1: of a list the first member counts";
const IGNORED = "RFC 9111 §5.1: an invalid Age is ignored";
const REFUSAL = "a 502 of the cache's own is no stored response either";

const fresh = (/** @type {Test} */ test) => {
  test.requests[1].expected_type = "cached";
};
const refused = (/** @type {Test} */ test) => {
  const expected = { expected_status: 502, check_body: false };
  test.requests[1] = { disconnect: true, ...expected, expected_response_headers_missing: ["server-request-count"] };
};

/** @type {Record<string, { why: string, edit: (test: Test) => void }>} by id */
export const corrections = {
  "age-parse-nonnumeric": { why: IGNORED, edit: fresh },
  "age-parse-negative": { why: IGNORED, edit: fresh },
  "age-parse-float": { why: IGNORED, edit: fresh },
  "age-parse-parameter": { why: IGNORED, edit: fresh },
  "age-parse-numeric-parameter": { why: IGNORED, edit: fresh },
  "age-parse-prefix-twoline": { why: FIRST, edit: fresh },
  "age-parse-dup-0": { why: FIRST, edit: fresh },
  "age-parse-dup-0-twoline": { why: FIRST, edit: fresh },
  "age-parse-dup-old": { why: FIRST, edit: fresh },
  "stale-close-must-revalidate": { why: REFUSAL, edit: refused },
  "stale-close-proxy-revalidate": { why: REFUSAL, edit: refused },
  "stale-close-no-cache": { why: REFUSAL, edit: refused },
  "stale-close-s-maxage=2": { why: REFUSAL, edit: refused },
  "304-etag-update-response-ETag": {
    why: "RFC 9111 §4.3.4: a 304 with another strong validator must not update what is stored",
    edit: (test) => {
      test.kind = "check";
    },
  },
  "conditional-lm-fresh-no-lm": {
    why: "RFC 9111 §4.3.2: without Last-Modified it is Date that If-Modified-Since is compared with",
    edit: (test) => {
      test.requests[1].expected_status = 200;
    },
  },
};

/**
 * The tests of `Surrogate-Control` (a W3C note of 2001), changed into tests of `CDN-Cache-Control`,
 * with which RFC 9213 replaced it. Tests of the old syntax are left out: directives for one of
 * several caches, and names in capitals, which are not keys of a Structured Field.
 * @template {{ tests: Test[] }} S
 * @param {S} suite
 * @returns {S}
 */
export function targeted(suite) {
  const text = JSON.stringify(suite.tests)
    .replaceAll("surrogate", "cdn")
    .replaceAll("Surrogate-Control", "CDN-Cache-Control")
    .replaceAll("max-age=10000;CAPABILITY_TARGET", "max-age=10000");
  const own = /;|MaX|[Cc]apabilit/;
  /** @type {Test[]} */
  const tests = JSON.parse(text);
  return { ...suite, id: "cdn", tests: tests.filter((test) => !own.test(JSON.stringify(test))) };
}

/** @param {string} id */
export const correctedId = (id) => `${id} (corrected)`;

/**
 * The test as the RFC has it, if that differs.
 * @param {Test} test
 * @returns {Test | undefined}
 */
export function corrected(test) {
  const correction = corrections[test.id];
  if (correction === undefined) return undefined;
  const copy = { ...structuredClone(test), id: correctedId(test.id) };
  correction.edit(copy);
  return copy;
}
