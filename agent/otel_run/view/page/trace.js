// A document as a tree to walk in. A row is known by its index; those below it follow it without a gap, up to its end.

class Trace {
  constructor(data) {
    this.data = data;
    this.id = data.trace_id;
    this.rows = data.rows;
    this.length = Math.max(1, data.duration_ns);
    this.ends = this.findEnds();
    this.paths = this.sortPath();
    this.hidden = new Map();
    this.texts = [];
    this.owns = new Map();
    this.indexes = null;
  }

  findEnds() {
    const ends = new Int32Array(this.rows.length);
    for (let index = this.rows.length - 1; index >= 0; index--) {
      ends[index] = Math.max(ends[index], index + 1);
      const parent = this.rows[index].parent;
      if (parent >= 0) ends[parent] = Math.max(ends[parent], ends[index]);
    }
    return ends;
  }

  sortPath() {
    const paths = new Map();
    for (const [row, start, end] of this.data.path) {
      if (!paths.has(row)) paths.set(row, []);
      paths.get(row).push([start, end]);
    }
    return paths;
  }

  key(index) {
    return this.rows[index].spans[0].id;
  }

  /** The row of a span, or -1. */
  find(span) {
    if (!this.indexes) {
      this.indexes = new Map();
      this.rows.forEach((row, index) => row.spans.forEach(({ id }) => this.indexes.set(id, index)));
    }
    return this.indexes.get(span) ?? -1;
  }

  /** How much later this trace begins than another, in ns. */
  after(other) {
    return Number(BigInt(this.data.start_unix_nano) - BigInt(other.data.start_unix_nano));
  }

  isLeaf(index) {
    return this.ends[index] === index + 1;
  }

  /** When a row begins and ends. */
  reach(index) {
    const { spans } = this.rows[index];
    let [start, end] = [Infinity, 0];
    for (const span of spans) {
      start = Math.min(start, span.start_ns);
      end = Math.max(end, span.start_ns + span.duration_ns);
    }
    return [start, end];
  }

  /** The stretches of the critical path that are a row's own; of a collapsed one, those of all that it hides too. */
  path(index, isCollapsed) {
    if (!isCollapsed) return this.paths.get(index) ?? [];
    if (!this.hidden.has(index)) {
      const within = this.data.path.filter(([row]) => row >= index && row < this.ends[index]);
      this.hidden.set(index, union(within.map(([, start, end]) => [start, end])));
    }
    return this.hidden.get(index);
  }

  /** The stretches of a row's time in which none of those right below it ran. */
  own(index) {
    if (!this.owns.has(index)) this.owns.set(index, this.findOwn(index));
    return this.owns.get(index);
  }

  findOwn(index) {
    const [start, end] = this.reach(index);
    const below = [];
    for (let child = index + 1; child < this.ends[index]; child = this.ends[child]) {
      for (const span of this.rows[child].spans) below.push([span.start_ns, span.start_ns + span.duration_ns]);
    }
    const own = [];
    let covered = start;
    for (const [from, to] of union(below)) {
      if (from > covered) own.push([covered, Math.min(from, end)]);
      covered = Math.max(covered, to);
      if (covered >= end) return own;
    }
    own.push([covered, end]);
    return own;
  }

  /** All that a search looks at, in lower case. */
  text(index) {
    return (this.texts[index] ??= this.writeText(this.rows[index]).toLowerCase());
  }

  writeText(row) {
    const parts = [row.label, row.service, row.failure, row.note];
    for (const span of row.spans) {
      parts.push(span.id, span.name, span.message);
      for (const held of [span, ...span.events]) {
        for (const [name, any] of Object.entries(held.attributes)) {
          parts.push(`${name}=${typeof any === "string" ? any : JSON.stringify(any)}`);
        }
      }
    }
    return parts.join("\n");
  }

  isFailed(index) {
    return this.rows[index].failure !== "";
  }

  isOnPath(index) {
    return this.rows[index].on_path_ns > 0;
  }

  isSlow(index) {
    const { note_kind: kind, own_on_path_ns: own } = this.rows[index];
    return kind.startsWith("slow") || own >= 0.05 * this.length;
  }
}

/** Stretches in the order of their starts, with those that touch made one. */
function union(stretches) {
  const joined = [];
  for (const [start, end] of stretches.sort((one, other) => one[0] - other[0])) {
    const last = joined.at(-1);
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else joined.push([start, end]);
  }
  return joined;
}
