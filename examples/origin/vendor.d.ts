// The part of express and ws that the sample API uses. Enough for `tsc`, and two packages less.

declare module "express" {
  import type { IncomingMessage, ServerResponse } from "node:http";

  export interface Request extends IncomingMessage {
    method: string;
    url: string;
    originalUrl: string;
    baseUrl: string;
    path: string;
    query: Record<string, string | string[] | undefined>;
    params: Record<string, string>;
    body: unknown;
    fresh: boolean;
    protocol: string;
    ip: string | undefined;
    ips: string[];
    acceptsEncodings(...encodings: string[]): string | false;
    range(
      size: number,
      options?: { combine?: boolean },
    ): -1 | -2 | undefined | (Array<{ start: number; end: number }> & { type: string });
  }

  export interface Response extends ServerResponse {
    locals: Record<string, string>;
    status(code: number): this;
    json(body: unknown): this;
    set(headers: Record<string, string>): this;
    set(name: string, value: string): this;
    vary(header: string): this;
  }

  export type Handler = (req: Request, res: Response, next: (error?: unknown) => void) => unknown;
  export type ErrorHandler = (error: unknown, req: Request, res: Response, next: (error?: unknown) => void) => unknown;

  export interface Router {
    (req: IncomingMessage, res: ServerResponse, next?: (error?: unknown) => void): void;
    all(path: string, ...handlers: Handler[]): this;
    get(path: string, ...handlers: Handler[]): this;
    post(path: string, ...handlers: Handler[]): this;
    put(path: string, ...handlers: Handler[]): this;
    delete(path: string, ...handlers: Handler[]): this;
    use(path: string, ...handlers: Array<Handler | Router>): this;
    use(...handlers: Array<Handler | ErrorHandler | Router>): this;
  }

  export interface Application extends Router {
    set(setting: string, value: unknown): this;
  }

  const express: {
    (): Application;
    Router(): Router;
    json(options?: { type?: () => boolean }): Handler;
  };
  export default express;
}

declare module "ws" {
  import type { EventEmitter } from "node:events";
  import type { IncomingMessage } from "node:http";
  import type { Duplex } from "node:stream";

  export class WebSocket extends EventEmitter {
    constructor(url: string, protocols?: string[], options?: { headers?: Record<string, string> });
    send(data: string | Uint8Array, options?: { binary?: boolean }): void;
    ping(data?: string): void;
    close(code?: number): void;
    terminate(): void;
    on(event: "message", listener: (data: Uint8Array, isBinary: boolean) => void): this;
    on(event: "close" | "open", listener: () => void): this;
    on(event: "error", listener: (error: Error) => void): this;
  }

  export class WebSocketServer extends EventEmitter {
    constructor(options: { noServer: true; maxPayload?: number });
    handleUpgrade(request: IncomingMessage, socket: Duplex, head: Uint8Array, done: (client: WebSocket) => void): void;
    on(event: "connection", listener: (client: WebSocket, request: IncomingMessage) => void): this;
  }
}
