/**
 * Makes the runtime refuse something once. It runs before the Worker, which takes references to
 * some of what is changed here.
 */

/** @type {{ name: string, left: number } | undefined} */
let armed;

/**
 * From now on, refuses the Nth call of `Headers.prototype.NAME` or, for the name `Response`, the
 * Nth response.
 * @param {string | null} what `NAME N`, or nothing
 */
export function refuse(what) {
  const [name, left] = what?.split(" ") ?? [];
  armed = name === undefined ? undefined : { name, left: Number(left) };
}

/** @param {string} name */
function refuseIfArmed(name) {
  if (armed?.name === name && --armed.left === 0) throw new TypeError(`refused: ${name}`);
}

const headers = /** @type {any} */ (Headers.prototype);
for (const name of ["set", "append"]) {
  const original = headers[name];
  headers[name] = function (/** @type {string[]} */ ...args) {
    refuseIfArmed(name);
    return original.apply(this, args);
  };
}

globalThis.Response = new Proxy(Response, {
  construct(target, args, newTarget) {
    refuseIfArmed("Response");
    return Reflect.construct(target, args, newTarget === globalThis.Response ? target : newTarget);
  },
});
