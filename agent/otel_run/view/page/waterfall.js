// The rows of one trace: which are open, which are asked for, which one is chosen, and what time is in sight.

const ROW = 26;
// Up to here all rows exist, so that a browser's own search and its printer see them.
const ALL = 1000;
// In ns: closer than this, a double no longer tells the edges apart.
const CLOSEST = 10;
const FILTERS = { failed: "isFailed", path: "isOnPath", slow: "isSlow" };

class Waterfall {
  constructor(chosen) {
    this.chosen = chosen;
    this.trace = null;
    this.filters = new Set();
    this.matches = [];
    this.scroller = find("scroll");
    this.sight = new Sight(this.scroller, find("rows"), ROW, ALL, (position) => this.row(position));
    this.listen();
  }

  listen() {
    const rows = find("rows");
    rows.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (!row) return;
      const index = Number(row.dataset.index);
      if (event.target.closest(".twisty")) this.toggle(index);
      else this.choose(index, true);
    });
    rows.addEventListener("dblclick", (event) => {
      const cell = event.target.closest(".time");
      if (cell) this.zoomToRow(Number(cell.parentElement.dataset.index));
    });
    for (const pill of document.querySelectorAll("[data-filter]")) {
      pill.addEventListener("click", () => this.filter(pill.dataset.filter));
    }
    find("search").addEventListener("input", () => this.search());
    find("unzoom").addEventListener("click", () => this.unzoom());
    find("minimap").addEventListener("dblclick", () => this.unzoom());
    onDrag(find("minimap"), (left, right) => this.zoomTo(left * this.trace.length, right * this.trace.length));
    onDrag(find("axis"), (left, right) => {
      const [from, to] = this.zoom;
      this.zoomTo(from + left * (to - from), from + right * (to - from));
    });
    onSplit(find("splitter"));
    new ResizeObserver(() => this.trace && this.drawTime()).observe(find("minimap"));
  }

  show(trace) {
    Object.assign(this, { trace, current: -1, collapsed: new Set(), zoom: [0, trace.length] });
    this.scroller.scrollTop = 0;
    this.seek();
    this.draw();
  }

  /** Show the same trace, which has grown: what is open, chosen and in sight stays. */
  grow(trace) {
    const before = this.trace;
    const top = Math.floor(this.scroller.scrollTop / ROW);
    const anchor = this.visible[top];
    this.zoom = this.isWhole() ? [0, trace.length] : this.zoomIn(trace);
    this.current = this.current < 0 ? -1 : trace.find(before.key(this.current));
    this.trace = trace;
    this.seek();
    this.draw();
    const position = top && anchor !== undefined ? this.positions.get(trace.find(before.key(anchor))) : undefined;
    if (position === undefined) return;
    this.scroller.scrollTop += (position - top) * ROW;
    this.sight.follow();
  }

  isWhole() {
    return this.zoom[0] === 0 && this.zoom[1] === this.trace.length;
  }

  /** The same time in a trace that may begin earlier: offsets are from its start. */
  zoomIn(trace) {
    const later = trace.after(this.trace);
    const [from, to] = [Math.max(0, this.zoom[0] - later), Math.min(trace.length, this.zoom[1] - later)];
    return to - from < CLOSEST ? [0, trace.length] : [from, to];
  }

  /** Find what the filters and the search ask for. */
  seek() {
    const words = find("search").value.trim().toLowerCase();
    const tests = [...this.filters].map((name) => FILTERS[name]);
    this.isAsking = words !== "" || tests.length > 0;
    this.matches = [];
    this.isFound = new Uint8Array(this.trace.rows.length);
    this.isKept = new Uint8Array(this.trace.rows.length);
    if (!this.isAsking) return;
    for (let index = 0; index < this.trace.rows.length; index++) {
      if (tests.every((test) => this.trace[test](index)) && this.trace.text(index).includes(words)) this.keep(index);
    }
  }

  /** Keep a row that was found, and all above it: it is nothing without them. */
  keep(index) {
    this.matches.push(index);
    this.isFound[index] = 1;
    for (let row = index; row >= 0 && !this.isKept[row]; row = this.trace.rows[row].parent) {
      this.isKept[row] = 1;
      if (row !== index) this.collapsed.delete(this.trace.key(row));
    }
  }

  draw() {
    this.drawPills();
    this.findVisible();
    this.drawTime();
  }

  findVisible() {
    this.visible = [];
    for (let index = 0; index < this.trace.rows.length; ) {
      const isAskedFor = !this.isAsking || this.isKept[index];
      if (isAskedFor) this.visible.push(index);
      index = !isAskedFor || this.isCollapsed(index) ? this.trace.ends[index] : index + 1;
    }
    this.positions = new Map(this.visible.map((index, position) => [index, position]));
    this.scroller.setAttribute("aria-rowcount", this.visible.length + 1);
  }

  drawPills() {
    const { rows } = this.trace;
    const names = { failed: "Errors", path: "Critical path", slow: "Slow" };
    for (const pill of document.querySelectorAll("[data-filter]")) {
      const name = pill.dataset.filter;
      const found = rows.reduce((sum, _, index) => sum + Number(this.trace[FILTERS[name]](index)), 0);
      pill.textContent = `${names[name]} ${found.toLocaleString("en")}`;
      pill.setAttribute("aria-pressed", String(this.filters.has(name)));
      pill.disabled = found === 0 && !this.filters.has(name);
    }
    this.drawMatches();
  }

  drawMatches() {
    const at = this.matches.indexOf(this.current) + 1;
    find("matches").textContent = this.isAsking ? `${at ? `${at}/` : ""}${this.matches.length.toLocaleString("en")}` : "";
  }

  /** Draw all that depends on the time in sight. */
  drawTime() {
    find("unzoom").hidden = this.isWhole();
    drawAxis(this.zoom);
    drawMinimap(this.trace, this.visible, this.zoom);
    this.sight.show(this.visible.length);
    this.point();
  }

  isCollapsed(index) {
    return !this.trace.isLeaf(index) && this.collapsed.has(this.trace.key(index));
  }

  row(position) {
    const { trace } = this;
    const index = this.visible[position];
    const row = trace.rows[index];
    const isCollapsed = this.isCollapsed(index);
    const kinds = ["row", row.failure && "failed", this.isAsking && (this.isFound[index] ? "found" : "beside")];
    const made = make(
      "div",
      {
        role: "row", class: kinds.filter(Boolean).join(" "), id: `row-${index}`, "data-index": index,
        "aria-level": row.depth + 1, "aria-rowindex": position + 2, "aria-selected": String(index === this.current),
        "aria-expanded": trace.isLeaf(index) ? "" : String(!isCollapsed),
      },
      tree(trace, index, isCollapsed),
      make("div", { role: "gridcell", class: "took" }, duration(row.duration_ns)),
      bars(trace, index, isCollapsed, this.zoom),
    );
    return paint(made, row.service);
  }

  /** Choose a row: it is made visible, even if that opens those above it. */
  choose(index, opensDetails = false) {
    if (index < 0) return;
    const before = this.current;
    this.current = index;
    this.open(index);
    if (before >= 0 && this.positions.has(before)) this.sight.refresh(this.positions.get(before));
    this.sight.reveal(this.positions.get(index));
    this.sight.refresh(this.positions.get(index));
    this.point();
    this.drawMatches();
    this.chosen(index, opensDetails);
  }

  open(index) {
    if (this.positions.has(index)) return;
    for (let row = this.trace.rows[index].parent; row >= 0; row = this.trace.rows[row].parent) {
      this.collapsed.delete(this.trace.key(row));
    }
    this.findVisible();
    // A filter hides it.
    if (!this.positions.has(index)) this.ask(() => this.forget());
    else this.drawTime();
  }

  point() {
    this.scroller.setAttribute("aria-activedescendant", this.current < 0 ? "" : `row-${this.current}`);
  }

  move(by) {
    const at = this.positions.get(this.current) ?? (by > 0 ? -1 : this.visible.length);
    const index = this.visible[Math.min(this.visible.length - 1, Math.max(0, at + by))];
    if (index !== undefined) this.choose(index);
  }

  toggle(index, isOpen = this.isCollapsed(index)) {
    if (this.trace.isLeaf(index)) return;
    this.collapsed[isOpen ? "delete" : "add"](this.trace.key(index));
    this.findVisible();
    this.drawTime();
  }

  /** Close a row, or go up from one that is closed. */
  collapse() {
    if (this.current < 0) return;
    if (!this.trace.isLeaf(this.current) && !this.isCollapsed(this.current)) this.toggle(this.current, false);
    else this.choose(this.trace.rows[this.current].parent);
  }

  /** Open a row, or go down from one that is open. */
  expand() {
    if (this.current < 0) return;
    if (this.isCollapsed(this.current)) this.toggle(this.current, true);
    else if (!this.trace.isLeaf(this.current)) this.move(1);
  }

  toggleAll(isOpen) {
    this.collapsed.clear();
    for (let index = 0; !isOpen && index < this.trace.rows.length; index++) {
      if (!this.trace.isLeaf(index)) this.collapsed.add(this.trace.key(index));
    }
    while (this.current >= 0 && !isOpen && this.trace.rows[this.current].parent >= 0) {
      this.current = this.trace.rows[this.current].parent;
    }
    this.draw();
  }

  filter(name) {
    this.ask(() => this.filters[this.filters.has(name) ? "delete" : "add"](name));
  }

  search() {
    this.ask(() => {});
    if (this.matches.length && !this.isFound[this.current]) this.choose(this.matches[0]);
  }

  forget() {
    this.filters.clear();
    find("search").value = "";
  }

  /** Change what is asked for, and keep the chosen row in view if it is still there. */
  ask(change) {
    change();
    this.seek();
    this.draw();
    if (this.positions.has(this.current)) this.sight.reveal(this.positions.get(this.current));
    else if (!this.isAsking) this.scroller.scrollTop = 0;
  }

  /** Go to the next one, or the one before, of what was found, or of `indexes`; from the last to the first. */
  next(by, indexes = this.matches) {
    if (!indexes.length) return;
    const at = indexes.findIndex((index) => (by > 0 ? index > this.current : index >= this.current));
    const from = at < 0 ? indexes.length : at;
    this.choose(indexes[(from + (by > 0 ? 0 : -1) + indexes.length) % indexes.length]);
  }

  nextFailed() {
    this.next(1, [...this.trace.rows.keys()].filter((index) => this.trace.isFailed(index)));
  }

  zoomTo(from, to) {
    if (to - from < CLOSEST) return;
    this.zoom = [Math.max(0, from), Math.min(this.trace.length, to)];
    this.drawTime();
  }

  zoomToRow(index) {
    if (index >= 0) this.zoomTo(...this.trace.reach(index));
  }

  unzoom() {
    this.zoomTo(0, this.trace.length);
  }
}
