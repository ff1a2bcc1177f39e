/** How long it takes from the import of the package to its first answer, in ms: printed as JSON. */
const started = performance.now();
const { RateLimiter } = await import("@omnitrade/edge");
await new RateLimiter({ quota: 5, window: "60s" }).limit("first");
process.stdout.write(JSON.stringify(performance.now() - started));
