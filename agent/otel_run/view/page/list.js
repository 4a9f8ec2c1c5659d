// The traces that there are: one to choose. Those that come while one looks push nothing away from under the eye.

const ORDERS = {
  newest: (one, other) => compare(other.data.start, one.data.start),
  slowest: (one, other) => other.length - one.length,
  failed: (one, other) => other.data.failed - one.data.failed,
  spans: (one, other) => other.data.spans - one.data.spans,
  label: (one, other) => compare(one.data.label, other.data.label),
};

function compare(one, other) {
  return one < other ? -1 : Number(one > other);
}

// More than these are for a file: a browser's memory ends.
const KEPT = 1000;
const KEPT_SPANS = 200_000;
const ITEM = 52;

class List {
  constructor(choose) {
    this.traces = [];
    this.listed = [];
    this.shown = null;
    this.choose = choose;
    this.scroller = find("list-scroll");
    this.sight = new Sight(this.scroller, find("list-rows"), ITEM, 100, (position) => this.item(position));
    find("list-filter").addEventListener("input", () => this.draw());
    find("list-order").addEventListener("change", () => this.draw());
    this.scroller.addEventListener("click", (event) => {
      const item = event.target.closest(".item");
      if (item) choose(this.listed[Number(item.dataset.position)]);
    });
    this.scroller.addEventListener("keydown", (event) => this.onKey(event));
  }

  onKey(event) {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.step(step);
  }

  step(by) {
    const position = this.listed.indexOf(this.shown) + by;
    if (this.listed[position]) this.choose(this.listed[position]);
  }

  /** Take a trace in, in place of the one with its id. */
  put(trace) {
    const at = this.traces.findIndex(({ id }) => id === trace.id);
    if (at < 0) return this.traces.unshift(trace);
    if (this.traces[at] === this.shown) this.shown = trace;
    this.traces[at] = trace;
  }

  /** Forget those that came first while there are too many, but not the one that is shown. */
  forget() {
    let spans = this.traces.reduce((sum, { data }) => sum + data.spans, 0);
    for (let at = this.traces.length - 1; at >= 0 && (this.traces.length > KEPT || spans > KEPT_SPANS); at--) {
      if (this.traces[at] !== this.shown) spans -= this.traces.splice(at, 1)[0].data.spans;
    }
  }

  draw() {
    const words = find("list-filter").value.toLowerCase();
    const order = ORDERS[find("list-order").value];
    const isListed = ({ data }) => [data.label, data.trace_id, ...data.services].join("\n").toLowerCase().includes(words);
    this.listed = this.traces.filter(isListed).sort(order);
    this.longest = this.listed.reduce((most, trace) => Math.max(most, trace.length), 1);
    this.sight.show(this.listed.length);
    const all = count(this.traces.length, "trace");
    find("list-count").textContent = words ? `${this.listed.length.toLocaleString("en")} of ${all}` : all;
    document.body.classList.toggle("single", this.traces.length < 2);
    this.point();
  }

  /** Draw after traces have come: who looks at the list, or has scrolled down, keeps the same ones in view. */
  grow() {
    const holds = this.scroller.scrollTop > 0 || this.scroller.matches(":hover, :focus-within");
    const anchor = this.listed[Math.floor(this.scroller.scrollTop / ITEM)];
    const was = this.listed.indexOf(anchor);
    this.draw();
    const now = this.listed.findIndex((trace) => trace.id === anchor?.id);
    if (holds && now > was) this.scroller.scrollTop += (now - was) * ITEM;
  }

  show(trace) {
    this.shown = trace;
    this.sight.show(this.listed.length);
    const position = this.listed.indexOf(trace);
    if (position >= 0) this.sight.reveal(position);
    this.point();
  }

  point() {
    const position = this.listed.indexOf(this.shown);
    this.scroller.setAttribute("aria-activedescendant", position < 0 ? "" : `item-${position}`);
  }

  item(position) {
    const trace = this.listed[position];
    const { label, services, start, spans, failed, duration_ns: took } = trace.data;
    const length = make("span", { class: "length" });
    length.style.width = `calc(${trace.length / this.longest} * (100% - 24px))`;
    return make(
      "div",
      {
        class: "item", role: "option", id: `item-${position}`, "data-position": position, title: line(label),
        "aria-selected": String(trace === this.shown), "aria-setsize": this.listed.length, "aria-posinset": position + 1,
      },
      make("div", { class: "name" }, make("span", { class: "theirs" }, line(label)), make("span", {}, duration(took))),
      make(
        "div",
        { class: "facts" },
        paint(make("span", { class: "theirs service" }, line(services.join(", "))), services[0]),
        ...(failed ? [make("span", { class: "bad" }, `✗ ${failed}`)] : []),
        make("span", {}, count(spans, "span")),
        make("span", {}, moment(start).toLocaleTimeString("en-GB")),
      ),
      length,
    );
  }
}

