/** Which crate each function of a module comes from, as far as its name tells. */

/** Crates of the language itself: generic code of theirs is made for the type that it is about. */
const LANGUAGE = new Set(["core", "alloc", "std"]);

/**
 * The crate of a function, and in our own crates its module.
 * @param {string | undefined} name as a Rust program shows it: `<Type as Trait>::method`,
 *   `crate::module::function<Parameter>`; `undefined`: it has none
 */
export function originOf(name) {
  if (name === undefined) return "without a name";
  if (name.endsWith("externref shim")) return "wasm-bindgen: shims";
  const paths = pathsIn(name);
  // `core::ptr::drop_in_place<Type>` drops a value of the type, and `<Type as Trait>::method` is a
  // method of it.
  const isGeneric = name.startsWith("<") || name.startsWith("core::ptr::drop_in_place");
  const path = (isGeneric && paths.find(([crate]) => !LANGUAGE.has(crate))) || paths[0];
  // `<str>::find`: the language's own types have no crate in their names.
  if (path === undefined) return name.startsWith("<") ? "core" : "exports and the allocator";
  const [crate, module] = path;
  return crate.startsWith("omnitrade_edge") && module ? `${crate}: ${module}` : crate;
}

/**
 * The crates and modules that a name has paths of, in its order.
 * @param {string} name
 */
function pathsIn(name) {
  // A crate may have its digest behind it, and a path does not begin in the middle of another.
  const crates = name.matchAll(/(?<![\w:\]>}])([a-z]\w*)(?:\[[\da-f]+\])?::(?:([a-z]\w*)(?=::))?/g);
  return [...crates].map(([, crate, module]) => /** @type {[string, string | undefined]} */ ([crate, module]));
}
