// All that is known of one span, or of one of those that share a row.

class Details {
  /** `closed()` is called when it closes, `isHere(trace)` tells whether the page has a trace. */
  constructor(closed, isHere) {
    Object.assign(this, { place: find("details"), closed, isHere, row: null, span: null });
  }

  get isOpen() {
    return !this.place.hidden;
  }

  close() {
    this.place.hidden = true;
    this.closed();
  }

  /** Show a span of a row: that with an id, or the first. */
  show(trace, index, id = "") {
    const row = trace.rows[index];
    const number = Math.max(0, row.spans.findIndex((each) => each.id === id));
    const span = row.spans[number];
    const { activeElement: focused } = document;
    const pressed = this.place.contains(focused) ? focused.title : "";
    Object.assign(this, { row, span });
    this.place.hidden = false;
    this.place.scrollTop = 0;
    this.place.replaceChildren(
      this.head(row, span),
      ...(row.spans.length > 1 ? [this.steps(trace, index, number)] : []),
      ...statements(row, span),
      ...pairs("Timing", timing(trace, row, span)),
      ...pairs("Attributes", span.attributes),
      ...span.events.flatMap((event) => describe(event, span)),
      ...this.links(span),
      ...pairs("Span", identity(trace, row, span)),
    );
    // Who steps through by the keyboard goes on where the button was.
    if (pressed) [...this.place.querySelectorAll("button")].find(({ title }) => title === pressed)?.focus();
  }

  /** Show what has become of the span in a trace that has grown; what is the same stays, and with it what is marked. */
  grow(trace) {
    const index = this.isOpen ? trace.find(this.span.id) : -1;
    if (index < 0 || JSON.stringify(trace.rows[index]) === JSON.stringify(this.row)) return;
    const { scrollTop } = this.place;
    this.show(trace, index, this.span.id);
    this.place.scrollTop = scrollTop;
  }

  head(row, span) {
    return make(
      "header",
      {},
      make("h2", { class: "theirs" }, line(row.label) || "unnamed"),
      button("Copy", "Copy this span as JSON (y)", () => copySpan(span)),
      button("✕", "Close (Esc)", () => this.close()),
    );
  }

  steps(trace, index, number) {
    const { spans } = trace.rows[index];
    const step = (by) => this.show(trace, index, spans.at((number + by) % spans.length).id);
    return make(
      "div",
      { class: "steps" },
      button("‹", "The one before", () => step(-1)),
      make("span", { class: "space" }, `${number + 1} of ${spans.length.toLocaleString("en")} alike`),
      button("›", "The next one", () => step(1)),
    );
  }

  links({ links }) {
    if (!links.length) return [];
    const made = links.map(([trace, span]) => {
      const [tag, href] = this.isHere(trace) ? ["a", address(trace, span)] : ["span", ""];
      return make("p", { class: "say" }, make(tag, { class: "theirs", href }, `${line(trace)} ${line(span)}`));
    });
    return [make("h3", {}, "Links"), ...made];
  }
}

function copySpan(span) {
  copy(JSON.stringify(span, null, 2), "the span");
}

function statements(row, span) {
  const said = [];
  if (row.failure) said.push(make("p", { class: "say bad theirs" }, `✗ ${line(row.failure)}`));
  if (span.message) said.push(make("p", { class: "say bad theirs" }, lines(span.message)));
  if (row.note) said.push(make("p", { class: "say note theirs" }, `← ${line(row.note)}`));
  return said;
}

function timing(trace, row, span) {
  const known = { Start: `+${duration(span.start_ns)}`, Duration: duration(span.duration_ns) };
  if (span.is_open) known.Duration += " so far";
  if (row.spans.length > 1) known["All of them"] = duration(row.duration_ns);
  known["Its own"] = `${duration(row.self_ns)} (no other span ran within)`;
  const part = share(row.on_path_ns, trace.data.duration_ns);
  known["Critical path"] = row.on_path_ns ? `${duration(row.on_path_ns)}, ${part} of the trace` : "not on it";
  if (row.own_on_path_ns && row.own_on_path_ns !== row.on_path_ns) known["Of that, its own"] = duration(row.own_on_path_ns);
  return known;
}

function identity(trace, row, span) {
  const known = {
    Service: row.service, Kind: span.kind, Name: span.name, Scope: span.scope, Process: span.process, Lane: span.lane,
    "Trace id": trace.id, "Span id": span.id, "Parent id": span.parent_id,
    Dropped: span.dropped ? `${count(span.dropped, "attribute, event or link", "attributes, events and links")}` : "",
  };
  return Object.fromEntries(Object.entries(known).filter(([, text]) => text !== ""));
}

function pairs(title, known) {
  const entries = Object.entries(known);
  if (!entries.length) return [];
  const made = entries.flatMap(([name, any]) => [make("dt", { class: "theirs" }, line(name)), make("dd", {}, value(any))]);
  return [make("h3", {}, title), make("dl", { class: "pairs" }, ...made)];
}

function describe(event, span) {
  const { "exception.stacktrace": stack, ...others } = event.attributes;
  const after = duration(Math.abs(event.time_ns - span.start_ns));
  return [
    make("h3", { class: "theirs" }, `${line(event.name) || "event"}, ${event.time_ns < span.start_ns ? "-" : "+"}${after}`),
    ...pairs("", others).slice(1),
    ...(stack === undefined ? [] : [make("pre", { class: "theirs", tabindex: "0" }, lines(String(stack)))]),
  ];
}
