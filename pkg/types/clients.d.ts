// ───── "@omnitrade/edge/clients": other clients as a Store. Structural: no version of theirs is bound. ─────
import type { Store } from "./index.js";
/** ioredis: binary-safe through `callBuffer`, which is called with texts and `Buffer`s. */
export declare function fromIoredis(client: { callBuffer(command: string, ...args: never[]): Promise<unknown> }): Store;
/** node-redis 5: `sendCommand`. */
export declare function fromNodeRedis(client: {
  sendCommand(args: readonly (string | Uint8Array)[]): Promise<unknown>;
}): Store;
/** @upstash/redis: its URL and token are used, not its serialisation. */
export declare function fromUpstash(client: object): Store;
