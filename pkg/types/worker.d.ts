// ───── "@omnitrade/edge/worker": the whole gate, configured by the Worker's bindings (EDGE, EDGE_ORIGIN, the secrets). ─────
declare const gate: {
  fetch(
    request: Request,
    env: object,
    context: { waitUntil(work: Promise<unknown>): void },
  ): Response | Promise<Response>;
};
export default gate;
