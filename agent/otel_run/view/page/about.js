// What stands above the waterfall: the trace in one line, and what it waited for, each part as wide as it took.

function drawAbout(trace) {
  const { data } = trace;
  const facts = [
    fact(duration(data.duration_ns), ""),
    fact(data.spans.toLocaleString("en"), data.spans === 1 ? "span" : "spans"),
    ...(data.failed ? [fact(`✗ ${data.failed.toLocaleString("en")}`, data.failed === 1 ? "error" : "errors", "bad")] : []),
    ...data.services.map((service) => paint(make("span", { class: "theirs service" }, line(service || "unnamed")), service)),
    make("span", { title: data.start }, moment(data.start).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })),
    make("span", { class: "theirs", title: data.trace_id }, `trace ${line(data.trace_id.slice(0, 8))}`),
  ];
  find("about").replaceChildren(
    make("h2", { class: "theirs" }, line(data.label)),
    make("div", { class: "facts-line" }, ...facts),
    make("div", { class: "parts", role: "list", "aria-label": "Critical path" }, ...data.summary.map(part)),
  );
}

function fact(number, what, kind = "") {
  return make("span", { class: kind }, make("b", {}, number), ` ${what}`);
}

function part({ label, duration_ns: took }, index, all) {
  const isRest = index === all.length - 1 && label === "other";
  const title = `${line(label)} ${duration(took)} of the critical path`;
  const made = make("div", { class: isRest ? "part rest" : "part", role: "listitem", title }, make("b", {}, duration(took)), ` ${line(label)}`);
  made.style.flex = `${Math.max(1, took)} 1 0`;
  return made;
}

function drawCut({ data: { spans, cut_spans: cut } }) {
  find("cut").hidden = cut === 0;
  find("cut").textContent =
    `This trace has ${count(spans, "span")}: the ${(spans - cut).toLocaleString("en")} nearest to its root are here, ` +
    `${cut.toLocaleString("en")} below them are not.`;
}
