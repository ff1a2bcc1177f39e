/** The entry `.`: limiter, cache, Redis client. */
import { makeGlue } from "omnitrade-edge:glue/edge";
import { wasmModule } from "omnitrade-edge:wasm/edge";

const glue = makeGlue();
glue.initSync({ module: wasmModule() });

/** The version of the package. */
export const version = glue.version();
