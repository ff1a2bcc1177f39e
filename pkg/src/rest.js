/** What all know who have to do with Upstash's REST protocol. */
import { EdgeError } from "./edge-error.js";

/** Under this name a `Redis` tells what it is reached by. */
export const REST = Symbol.for("@omnitrade/edge.rest");

/** The most bytes of a reply. */
export const MOST_BYTES = 8 << 20;

export const tooLarge = () => new EdgeError("too_large", true, "the reply is longer than 8 MiB");
