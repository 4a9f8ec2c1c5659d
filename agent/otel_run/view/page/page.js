// The page as a whole: what is shown, under which address, in which theme.

// In ms, how long one trace that has come waits for others.
const TOGETHER = 100;
const THEMES = ["", "light", "dark"];

function address(trace, span = "") {
  const parts = new URLSearchParams({ trace });
  if (span) parts.set("span", span);
  return `#${parts}`;
}

class Page {
  constructor(data) {
    this.isLive = data.live !== null;
    // What has come and is not drawn yet.
    this.taken = [];
    // What the address names and has not come yet.
    this.wanted = null;
    this.list = new List((trace) => {
      this.wanted = null;
      this.show(trace);
    });
    this.waterfall = new Waterfall((index, opens) => this.onChosen(index, opens));
    this.details = new Details(() => find("scroll").focus(), (trace) => this.list.traces.some(({ id }) => id === trace));
    this.setTheme(readTheme());
    find("theme").addEventListener("click", () => this.nextTheme());
    find("show-list").addEventListener("click", () => document.body.classList.toggle("with-list"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    addEventListener("hashchange", () => this.followAddress());
    listenToKeys({
      waterfall: this.waterfall, details: this.details, list: this.list,
      nextTheme: () => this.nextTheme(), leave: () => this.leave(),
    });
    find("list-order").value = data.order;
    this.list.traces = data.documents.map((each) => new Trace(each));
    this.list.draw();
    this.drawEmpty(true);
    this.followAddress();
    if (!this.list.shown && this.list.listed.length) this.show(this.list.listed[0]);
    if (this.isLive) listenToServer(data.live.events, (each) => this.take(each));
  }

  show(trace) {
    // Before the rest is drawn: what is hidden has no width.
    this.drawEmpty(false);
    this.list.show(trace);
    this.waterfall.show(trace);
    this.drawAround(trace);
    if (this.details.isOpen) find("details").hidden = true;
    document.body.classList.remove("with-list");
    this.remember();
  }

  drawAround(trace) {
    drawAbout(trace);
    drawCut(trace);
  }

  drawEmpty(isEmpty) {
    find("empty").textContent = this.isLive ? "No traces yet. They appear here by themselves." : "No traces.";
    find("empty").hidden = !isEmpty;
    for (const part of document.querySelectorAll("#about, .tools, #minimap, #scroll")) part.hidden = isEmpty;
  }

  /** Take in a trace that has just come, or come again with more spans. Many come at once: they are drawn together. */
  take(data) {
    this.taken.push(data);
    if (this.taken.length === 1) setTimeout(() => this.drawTaken(), TOGETHER);
  }

  drawTaken() {
    for (const each of this.taken.splice(0)) this.list.put(new Trace(each));
    this.list.forget();
    this.list.grow();
    const { shown } = this.list;
    if (!shown && this.list.listed.length) this.show(this.list.listed[0]);
    else if (shown !== this.waterfall.trace) {
      this.waterfall.grow(shown);
      this.drawAround(shown);
      this.details.grow(shown);
    }
    this.showWanted();
  }

  onChosen(index, opens) {
    this.wanted = null;
    if (opens || this.details.isOpen) this.details.show(this.waterfall.trace, index);
    this.remember();
  }

  leave() {
    const search = find("search");
    if (document.activeElement === search) find("scroll").focus();
    if (this.details.isOpen && !search.value) this.details.close();
    else if (this.waterfall.isAsking) this.waterfall.ask(() => this.waterfall.forget());
  }

  remember() {
    const { trace, current } = this.waterfall;
    history.replaceState(null, "", address(trace.id, current < 0 ? "" : trace.key(current)));
  }

  followAddress() {
    this.wanted = new URLSearchParams(location.hash.slice(1));
    this.showWanted();
  }

  showWanted() {
    const trace = this.wanted && this.list.traces.find(({ id }) => id === this.wanted.get("trace"));
    if (!trace) return;
    const span = this.wanted.get("span");
    this.wanted = null;
    if (trace !== this.list.shown) this.show(trace);
    const index = trace.find(span);
    if (index < 0) return;
    this.waterfall.choose(index);
    this.details.show(trace, index, span);
  }

  nextTheme() {
    const now = document.documentElement.dataset.theme ?? "";
    this.setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
    this.redraw();
  }

  setTheme(theme) {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    find("theme").textContent = { "": "◐", light: "☀", dark: "☾" }[theme];
    find("theme").title = `Theme: ${theme || "as the system"} (t)`;
    find("theme").setAttribute("aria-label", find("theme").title);
    keepTheme(theme);
  }

  /** A canvas doesn't follow the theme by itself. */
  redraw() {
    if (this.waterfall.trace) this.waterfall.drawTime();
  }
}

// A page from a disk may be refused a memory of its own.
function readTheme() {
  try {
    const theme = localStorage.getItem("otel-run.theme");
    return THEMES.includes(theme) ? theme : "";
  } catch {
    return "";
  }
}

function keepTheme(theme) {
  try {
    localStorage.setItem("otel-run.theme", theme);
  } catch {
    // Then the next page begins with the system's.
  }
}

new Page(JSON.parse(find("data").textContent));
