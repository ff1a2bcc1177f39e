/** Reads and changes the sections of WebAssembly modules. */

const CUSTOM = 0;
const CODE = 10;
/** The length of what stands before the first section: a magic number and the version. */
const HEADER = 8;
/** In the section "name": the names of functions. */
const FUNCTIONS = 1;

/**
 * The module without its custom sections, which say nothing about how it runs.
 * @param {Buffer} module
 */
export function withoutCustomSections(module) {
  const kept = [...sectionsOf(module)].filter(({ id }) => id !== CUSTOM).map(({ whole }) => whole);
  return Buffer.concat([module.subarray(0, HEADER), ...kept]);
}

/**
 * The names of a module's functions, by their index; empty if it has none.
 * @param {Buffer} module
 * @returns {Map<number, string>}
 */
export function functionNames(module) {
  /** @type {Map<number, string>} */
  const names = new Map();
  for (const { id, content } of sectionsOf(module)) {
    const section = new Reader(content);
    if (id !== CUSTOM || section.text() !== "name") continue;
    while (!section.isOver) {
      const kind = section.number();
      const map = new Reader(section.bytes());
      if (kind !== FUNCTIONS) continue;
      for (let left = map.number(); left > 0; left--) names.set(map.number(), map.text());
    }
  }
  return names;
}

/** The names of the sections in the specification, by their ids. */
const SECTIONS = [
  ...["custom", "type", "import", "function", "table", "memory", "global", "export"],
  ...["start", "element", "code", "data", "data count", "tag"],
];

/**
 * The sections of a module, with their names and their bytes.
 * @param {Buffer} module
 */
export function namedSections(module) {
  return [...sectionsOf(module)].map(({ id, whole }) => ({ name: SECTIONS[id] ?? `section ${id}`, whole }));
}

/**
 * The bodies of a module's functions, in their order; those that are imported have none.
 * @param {Buffer} module
 * @returns {Buffer[]}
 */
export function functionBodies(module) {
  const code = [...sectionsOf(module)].find(({ id }) => id === CODE);
  const reader = new Reader(code?.content ?? Buffer.of(0));
  return Array.from({ length: reader.number() }, () => reader.bytes());
}

/** @param {Buffer} module */
function* sectionsOf(module) {
  const reader = new Reader(module.subarray(HEADER));
  while (!reader.isOver) {
    const start = HEADER + reader.at;
    const id = reader.number();
    const content = reader.bytes();
    yield { id, content, whole: module.subarray(start, HEADER + reader.at) };
  }
}

class Reader {
  at = 0;

  /** @param {Buffer} from */
  constructor(from) {
    this.from = from;
  }

  get isOver() {
    return this.at >= this.from.length;
  }

  /** An unsigned number in LEB128. */
  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.from.readUInt8(this.at++);
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  /** Bytes with their number before them. */
  bytes() {
    const length = this.number();
    this.at += length;
    return this.from.subarray(this.at - length, this.at);
  }

  text() {
    return this.bytes().toString();
  }
}
