/** nginx and Varnish, if they are installed, configured to do the same as the gate. */
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, spawnServer } from "../../scripts/lib/process.mjs";
import { scratchFolder } from "../../scripts/lib/servers.mjs";
import { ORIGIN_TIMEOUT_MS, seconds, TIMES } from "./job.mjs";

/** Where Debian puts servers; these folders are often not on the PATH. */
const FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/**
 * @typedef {{
 *   title: string, install: string, program: string | undefined,
 *   start: (origin: number) => Promise<Peer>
 * }} PeerKind
 */

/** @typedef {{ urls: string[], stop: () => Promise<void> }} Peer */

/** The peers, in the order of the table's columns. @type {PeerKind[]} */
export const PEERS = [
  { title: "nginx", install: "apt-get install nginx-light", program: find("nginx"), start: startNginx },
  { title: "Varnish", install: "apt-get install varnish", program: find("varnishd"), start: startVarnish },
];

/** @param {string} name */
function find(name) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...FOLDERS];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/**
 * nginx counts freshness in whole seconds, and only `inactive` limits how long it serves stale
 * entries.
 * @param {number} origin its port
 */
async function startNginx(origin) {
  const folder = scratchFolder();
  const port = await freePort();
  const locations = Object.entries(TIMES).map(([path, { ttl, whileRefreshed = 0, ifError = 0 }]) => {
    const stale = [...(whileRefreshed ? ["updating"] : []), ...(ifError ? ["error timeout http_503"] : [])];
    return `location ${path} {
      proxy_pass http://origin;
      proxy_cache_valid 200 ${Math.max(1, Math.ceil(ttl / 1000))}s;
      proxy_cache_use_stale ${stale.join(" ") || "off"};
      proxy_cache_background_update ${whileRefreshed ? "on" : "off"};
    }`;
  });
  const config = `
${process.getuid?.() === 0 ? "user root;" : ""}
daemon off;
worker_processes 1;
pid ${folder}/pid;
error_log stderr notice;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")}
  upstream origin { server 127.0.0.1:${origin} max_fails=0; keepalive 64; }
  proxy_cache_path ${folder}/cache keys_zone=cache:10m max_size=64m inactive=10m use_temp_path=off;
  proxy_cache cache;
  proxy_cache_key $request_uri;
  proxy_cache_lock on;
  proxy_cache_lock_timeout 3s;
  proxy_cache_lock_age 3s;
  proxy_read_timeout ${ORIGIN_TIMEOUT_MS}ms;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  add_header X-Cache $upstream_cache_status;
  server {
    listen 127.0.0.1:${port} backlog=1024;
    ${locations.join("\n    ")}
  }
}
`;
  writeFileSync(join(folder, "nginx.conf"), config);
  const server = await spawnServer(program(0), ["-p", folder, "-e", "stderr", "-c", join(folder, "nginx.conf")], {
    name: "nginx",
    ready: /start worker process \d+/,
  });
  return { urls: [`http://127.0.0.1:${port}`], stop: () => server.stop() };
}

/**
 * Varnish has one grace period for both purposes, so a route gets the longer one.
 * @param {number} origin its port
 */
async function startVarnish(origin) {
  const folder = scratchFolder();
  const port = await freePort();
  const branches = Object.entries(TIMES).map(([path, { ttl, whileRefreshed = 0, ifError = 0 }]) => {
    const grace = Math.max(whileRefreshed, ifError);
    return `if (bereq.url ~ "^${path}") { set beresp.ttl = ${seconds(ttl)}; set beresp.grace = ${seconds(grace)}; }`;
  });
  const config = `vcl 4.1;
backend default {
  .host = "127.0.0.1";
  .port = "${origin}";
  .first_byte_timeout = ${seconds(ORIGIN_TIMEOUT_MS)};
}
sub vcl_recv {
  if (req.method == "PURGE") { return (purge); }
  return (hash);
}
sub vcl_backend_response {
  # What failed is not kept, and no reason to forget what is there.
  if (beresp.status >= 500) {
    if (bereq.is_bgfetch) { return (abandon); }
    set beresp.ttl = 0s;
    set beresp.grace = 0s;
    return (deliver);
  }
  set beresp.keep = 0s;
  ${branches.join("\n  ")}
}
`;
  writeFileSync(join(folder, "cache.vcl"), config);
  // No change of user, because the folder belongs to the user who runs this.
  const args = [
    "-j",
    "none",
    "-F",
    "-n",
    folder,
    "-a",
    `127.0.0.1:${port}`,
    "-f",
    join(folder, "cache.vcl"),
    "-s",
    "malloc,64m",
  ];
  const settings = ["thread_pools=1", "thread_pool_min=64", "thread_pool_max=256", "listen_depth=1024"];
  const server = await spawnServer(program(1), [...args, "-T", "none", ...settings.flatMap((s) => ["-p", s])], {
    name: "varnishd",
    ready: /Child \(\d+\) said Child starts/,
  });
  await accepting(port);
  return { urls: [`http://127.0.0.1:${port}`], stop: () => server.stop() };
}

/**
 * Waits for connections: Varnish's workers report that they run a little before they accept any.
 * @param {number} port
 */
async function accepting(port) {
  for (let tries = 0; tries < 100; tries++) {
    const socket = connect(port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return;
    } catch {
      await sleep(50);
    } finally {
      socket.destroy();
    }
  }
}

/** @param {number} peer */
function program(peer) {
  return PEERS[peer].program ?? PEERS[peer].title;
}
