/** Loads under way in this process, for each of which others wait. */
import { within } from "./timers.js";

/** @import { Found } from "./values.js" */
/** @import { Content } from "./content.js" */

/**
 * What one flight brings to all who wait for it. It is data alone, because no request may use what
 * belongs to another. `isOwn`: it was loaded now, and not read. `undefined`: it has left the load
 * to another process.
 * @typedef {Found | Loaded | { error: unknown } | undefined} Outcome
 */

/** @typedef {{ content: Content, isOwn: true, until?: undefined }} Loaded */

/**
 * A load, and what comes before it.
 * @typedef {object} Flight
 * @property {string} key
 * @property {Promise<Outcome>} outcome
 * @property {number} until until when it is waited for
 * @property {string[]} tags of what it loads, and of what it brings if that fails
 * @property {boolean} isPurged whether these, or its key, were purged since
 * @property {boolean} isOutdated whether its key was purged or set since the load began
 * @property {boolean} [isVoid] whether nobody but its leader may have what it brings
 * @property {number} [asked] when the store was asked what was purged, if it has told
 */

export class Flights {
  /** Those that are waited for. @type {Map<string, Flight>} */
  #waited = new Map();
  /** @type {Set<Flight>} */
  #all = new Set();
  #longest;
  #later;

  /**
   * @param {number} longest how long a load and its calls take, in milliseconds
   * @param {(work: Promise<unknown>) => void} later takes work that nobody waits for
   */
  constructor(longest, later) {
    this.#longest = longest;
    this.#later = later;
  }

  /** The flight to wait for, if there is one. @param {string} key */
  get(key) {
    const flight = this.#waited.get(key);
    return flight && Date.now() < flight.until ? flight : undefined;
  }

  /**
   * Starts one, in place of one that there may be.
   * @param {string} key
   * @param {(flight: Flight) => Promise<Outcome>} lead
   * @returns {Flight}
   */
  start(key, lead) {
    /** @type {any} */
    const flight = { key };
    this.restart(flight, []);
    this.#waited.set(key, flight);
    this.#all.add(flight);
    flight.outcome = lead(flight).catch((error) => ({ error }));
    const end = () => {
      this.#all.delete(flight);
      this.#leave(flight);
    };
    this.#later(flight.outcome.then(end));
    return flight;
  }

  /**
   * A load begins, or the wait for that of another process.
   * @param {Flight} flight
   * @param {string[]} tags
   */
  restart(flight, tags) {
    flight.until = Date.now() + this.#longest;
    flight.tags = tags;
    flight.isPurged = flight.isOutdated = false;
  }

  /**
   * Those who come from now on don't wait for what was begun before these tags and keys were
   * purged, or these keys were set.
   * @param {readonly string[]} tags
   * @param {readonly string[]} keys
   */
  purge(tags, keys) {
    for (const flight of this.#all) {
      const isNamed = keys.includes(flight.key);
      if (!isNamed && !flight.tags.some((tag) => tags.includes(tag))) continue;
      flight.isPurged = true;
      flight.isOutdated ||= isNamed;
      this.#leave(flight);
    }
  }

  /** Nobody joins it from now on. @param {Flight} flight */
  #leave(flight) {
    if (this.#waited.get(flight.key) === flight) this.#waited.delete(flight.key);
  }
}

/**
 * Waits for a load. `undefined` if it takes longer than a load may.
 * @param {Flight} flight
 * @param {boolean} leads whether this caller started it
 * @returns {Promise<Outcome>}
 */
export async function waited({ outcome, until }, leads) {
  if (leads) return outcome;
  // A timer of this request's own: the other request may be gone.
  return within(outcome, Math.max(until - Date.now(), 0)).catch(() => undefined);
}
