// What keys do; the same table makes the help.

const HELP = [
  ["j ↓", "Next span"],
  ["k ↑", "Span before"],
  ["h ←", "Collapse, or go to the parent"],
  ["l →", "Expand, or go to the first child"],
  ["H L", "Collapse all, expand all"],
  ["Enter", "Details"],
  ["e", "Next error"],
  ["c", "Only the critical path"],
  ["/", "Search; Enter and Shift Enter go through what is found"],
  ["n N", "Next and previous match"],
  ["[ ]", "Previous and next trace"],
  ["z 0", "The time of this span, the whole time"],
  ["y", "Copy the span as JSON"],
  ["t", "Light, dark, or as the system"],
  ["Esc", "Close, or forget the search"],
];

function listenToKeys({ waterfall, details, list, nextTheme, leave }) {
  const actions = {
    j: () => waterfall.move(1),
    k: () => waterfall.move(-1),
    h: () => waterfall.collapse(),
    l: () => waterfall.expand(),
    H: () => waterfall.toggleAll(false),
    L: () => waterfall.toggleAll(true),
    PageDown: () => waterfall.move(20),
    PageUp: () => waterfall.move(-20),
    Home: () => waterfall.move(-Infinity),
    End: () => waterfall.move(Infinity),
    Enter: () => waterfall.choose(waterfall.current, true),
    e: () => waterfall.nextFailed(),
    c: () => waterfall.filter("path"),
    n: () => waterfall.next(1),
    N: () => waterfall.next(-1),
    "/": () => find("search").select(),
    "[": () => list.step(-1),
    "]": () => list.step(1),
    z: () => waterfall.zoomToRow(waterfall.current),
    0: () => waterfall.unzoom(),
    y: () => waterfall.current >= 0 && copySpan(details.isOpen ? details.span : waterfall.trace.rows[waterfall.current].spans[0]),
    t: nextTheme,
    "?": showHelp,
    Escape: leave,
  };
  Object.assign(actions, { ArrowDown: actions.j, ArrowUp: actions.k, ArrowLeft: actions.h, ArrowRight: actions.l });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || find("keys").open) return;
    if (event.target === find("search")) return onSearchKey(event, waterfall, leave);
    if (event.target.matches("input, select, textarea") || belongsToElement(event)) return;
    const needsTrace = !["t", "?", "Escape"].includes(event.key);
    if (!Object.hasOwn(actions, event.key) || (needsTrace && !waterfall.trace)) return;
    event.preventDefault();
    actions[event.key]();
  });
  find("help").addEventListener("click", showHelp);
  find("keys").addEventListener("click", () => find("keys").close());
}

function belongsToElement({ key, target }) {
  // A stack trace scrolls.
  return target.matches("pre") ? key !== "Escape" : key === "Enter" && target.matches("button, a");
}

function onSearchKey(event, waterfall, leave) {
  if (event.key === "Enter") waterfall.next(event.shiftKey ? -1 : 1);
  else if (event.key === "ArrowDown") waterfall.move(1);
  else if (event.key === "ArrowUp") waterfall.move(-1);
  else if (event.key === "Escape") leave();
  else return;
  event.preventDefault();
}

function showHelp() {
  const keys = HELP.flatMap(([names, what]) => {
    const caps = names.split(" ").flatMap((name) => [make("kbd", {}, name), " "]);
    return [make("dt", {}, ...caps), make("dd", {}, what)];
  });
  find("keys").replaceChildren(make("h2", {}, "Keys"), make("dl", {}, ...keys), legend());
  find("keys").showModal();
}

/** What a bar consists of. */
function legend() {
  const entries = [
    ["bar", "waits for the spans below it"],
    ["own", "works by itself"],
    ["own gap", "a long time that no span explains"],
    ["on-path", "the whole trace waits for it: the critical path"],
  ];
  const made = entries.flatMap(([kind, what]) => {
    const sample = make("div", { class: "time" });
    if (kind === "on-path") sample.append(stretch("bar", 0, 1, 0, 1));
    sample.append(stretch(kind, 0, 1, 0, 1));
    return [paint(sample, colours.keys().next().value), make("span", {}, what)];
  });
  return make("div", { class: "legend" }, ...made);
}
