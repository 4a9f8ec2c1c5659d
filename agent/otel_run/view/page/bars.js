// The time of a row: a bar, darker where it worked by itself, hatched where nothing tells what it did, and within it
// a line where the whole trace waited for it.

// A part of the time in sight that is too small to see.
const UNSEEN = 1 / 3000;

// Services keep their colour as long as the page is open.
const colours = new Map();

function colour(service) {
  if (!service) return "var(--s7)";
  if (!colours.has(service)) colours.set(service, `var(--s${colours.size % 7})`);
  return colours.get(service);
}

function paint(element, service) {
  element.style.setProperty("--c", colour(service));
  return element;
}

/** Make the bars of a row, for the time from `from` to `to`. */
function bars(trace, index, isCollapsed, [from, to]) {
  const row = trace.rows[index];
  const cell = make("div", { role: "gridcell", class: "time" });
  const draw = (kind, stretches) => {
    for (const [start, end] of visible(stretches, from, to)) cell.append(stretch(kind, start, end, from, to));
  };
  draw("bar", [trace.reach(index)]);
  if (row.spans.length > 1) draw("own several", row.spans.map((span) => [span.start_ns, span.start_ns + span.duration_ns]));
  else drawOwn(trace, index, draw);
  draw("on-path", trace.path(index, isCollapsed));
  return cell;
}

function drawOwn(trace, index, draw) {
  const own = trace.own(index).filter(([start, end]) => end > start);
  const isGap = ([start, end]) => !trace.isLeaf(index) && end - start >= Math.max(1e7, 0.05 * trace.length);
  draw("own", own.filter((part) => !isGap(part)));
  draw("own gap", own.filter(isGap));
}

/** What of `stretches` is in sight; of those too small to see, one for each place. */
function visible(stretches, from, to) {
  const least = (to - from) * UNSEEN;
  const seen = [];
  let drawn = -Infinity;
  for (const [start, end] of stretches) {
    if (end < from || start > to || (end - start < least && end < drawn + least)) continue;
    seen.push([start, end]);
    drawn = end;
  }
  return seen;
}

function stretch(kind, start, end, from, to) {
  const made = make("div", { class: kind });
  // Far beyond the edges a browser's lengths overflow.
  const left = Math.max(-1, (start - from) / (to - from));
  const right = Math.min(2, (end - from) / (to - from));
  made.style.left = `min(${100 * left}%, 100% - 2px)`;
  made.style.width = `${100 * Math.max(0, right - left)}%`;
  return made;
}

/** Where to put lines on an axis: at most `most`, at round numbers. */
function ticks(from, to, most) {
  const rough = (to - from) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let at = Math.ceil(from / step) * step; at < to; at += step) found.push(at);
  return { step, found };
}

function drawAxis([from, to]) {
  const axis = find("axis");
  const { step, found } = ticks(from, to, Math.max(2, Math.floor(axis.clientWidth / 70)));
  const place = (element, at) => {
    element.style.left = `${(100 * (at - from)) / (to - from)}%`;
    return element;
  };
  // Its text would end beyond the edge.
  const written = found.filter((at) => (at - from) / (to - from) < 1 - 44 / Math.max(88, axis.clientWidth));
  axis.replaceChildren(
    axis.querySelector(".brush"),
    ...written.map((at) => place(make("span", { class: "tick" }, offset(at, step, to)), at)),
  );
  find("lines").replaceChildren(...found.map((at) => place(make("div"), at)));
}
