// ───── "@omnitrade/edge/queue": jobs for BullMQ's workers, added over any Store. ─────
import type { Store } from "./index.js";
/** The options of a job, by BullMQ's names and with its meanings. Those of flows and schedulers are refused. Times in ms. */
export interface JobOptions {
  /** How often it is tried until it completes. @default 1 */ attempts?: number;
  /** A number: the same time before each attempt. */ backoff?: number | BackoffOptions;
  /** Jobs with the same id are one job, until the first is finished, or for `ttl`. */ deduplication?: DeduplicationOptions;
  /** How long it waits before it can run. */ delay?: number;
  /** Neither an integer nor one of BullMQ's key names. A job that is there already is not added again. @default a new one */ jobId?: string;
  /** Lines of its log. */ keepLogs?: number;
  /** It is the next to run, not the last. */ lifo?: boolean;
  /** From 1, which runs first, to 2,097,151; 0: none. */ priority?: number;
  /** `true`: none is kept; a number: so many. @default all are kept */ removeOnComplete?: boolean | number | KeepJobs;
  /** @default all are kept */ removeOnFail?: boolean | number | KeepJobs;
  /** Bytes of its data as JSON. */ sizeLimit?: number;
  /** Lines of a stack trace. */ stackTraceLimit?: number;
  telemetry?: { metadata?: string; omitContext?: boolean };
  /** When it was made. A delay counts from there. @default Date.now() */ timestamp?: number;
}
export interface BackoffOptions {
  /** `"exponential"`: twice as long each time; or a strategy of the workers. */ type:
    | "fixed"
    | "exponential"
    | (string & {});
  delay?: number;
  /** From 0 to 1. */ jitter?: number;
}
export interface DeduplicationOptions {
  id: string;
  ttl?: number;
  /** The time begins anew with each further job. */ extend?: boolean;
  /** A further job replaces the first, if that is delayed. */ replace?: boolean;
  /** The last of the jobs that come while the first one runs follows it. */ keepLastIfActive?: boolean;
  /** Only with `bullmq: 6`. */ reschedule?: boolean;
}
/** `age` in seconds. */
export interface KeepJobs {
  age?: number;
  count?: number;
  limit?: number;
}
export interface QueueOptions {
  redis: Store;
  /** As the workers have it. @default "bull" */ prefix?: string;
  /** Which major version works on the queue. `"any"` is safe with 5 and 6; with `6`, workers of 5 would lose jobs. @default "any" */ bullmq?:
    | "any"
    | 5
    | 6;
  /** Of each job that does not set them itself. */ defaultJobOptions?: Omit<JobOptions, "jobId">;
}
export interface NewJob<T = unknown> {
  name: string;
  data?: T;
  opts?: JobOptions;
}
/** `id`: that of the job that is there now, which another one with the same `deduplication.id` may be. */
export interface AddedJob<T = unknown> {
  id: string;
  name: string;
  data: T;
  opts: JobOptions;
  timestamp: number;
}
export declare class Queue<T = unknown> {
  readonly name: string;
  /** @throws {EdgeError} `config` if the name is empty or holds a colon */
  constructor(name: string, options: QueueOptions);
  /** One call of the store. If its answer is lost it is made again, and adds nothing twice. Rejects with an `EdgeError`: `config` if BullMQ would refuse the job. */
  add(name: string, data?: T, options?: JobOptions): Promise<AddedJob<T>>;
  /** In order, in one pipeline (one by one over a store that has none). If it rejects, some may have been added. */
  addBulk(jobs: readonly NewJob<T>[]): Promise<AddedJob<T>[]>;
}
