/** A Worker whose gate is made at module scope, before an origin in the same program. */
import { createGate } from "@omnitrade/edge/gate";

let answered = 0;

const gate = createGate(
  {
    origin: "https://origin.example",
    limits: { ip: { by: "ip", window: "1m", quota: 100 } },
    default_limits: ["ip"],
    routes: [{ path: "/cached/{n}", limits: ["ip"], cache: { ttl: "1m", stale_if_error: "1m" } }],
  },
  { fetch: origin },
);

/** @param {Request} request */
async function origin(request) {
  answered++;
  const { pathname } = new URL(request.url);
  const headers = { "x-answered": String(answered), "content-type": "text/plain" };
  if (pathname === "/upload") return new Response(await request.text(), { headers });
  if (pathname.endsWith("stream")) return new Response(chunks(), { headers });
  return new Response(`${request.method} ${pathname}`, { headers });
}

function chunks() {
  const { readable, writable } = new TransformStream();
  (async () => {
    const writer = writable.getWriter();
    for (let n = 0; n < 10; n++) await writer.write(new TextEncoder().encode(`chunk ${n}\n`));
    await writer.close();
  })();
  return readable;
}

export default {
  /** @param {Request} request @param {unknown} _ @param {any} context */
  async fetch(request, _, context) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/metrics") return new Response(gate.metrics());
    if (pathname === "/admit") {
      const { response, headers, results } = await gate.admit(request);
      return response ?? Response.json(results, { headers });
    }
    // Without a context, the platform's own is found.
    return searchParams.has("alone") ? gate.fetch(request) : gate.fetch(request, context);
  },
};
