// Text as a person reads it, and elements that hold it. Nothing here or elsewhere ever parses text as HTML.

/** A duration in ns, written as the terminal writes it (view/durations.py). */
function duration(ns) {
  const ms = ns / 1e6;
  if (ms < 9.95) return `${Number((Math.round(ms * 1000) / 1000).toPrecision(2))}ms`;
  if (ms < 999.5) return `${ms.toFixed(0)}ms`;
  const seconds = ms / 1e3;
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)}s`;
  const two = (number) => String(number).padStart(2, "0");
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`;
}

/** An offset on an axis that goes `to`, with as many digits as tell it from the one a `step` further. */
function offset(ns, step, to) {
  const [unit, name] = to >= 1e9 ? [1e9, "s"] : to >= 1e6 ? [1e6, "ms"] : [1e3, "µs"];
  const digits = Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
  return ns === 0 ? "0" : `${(ns / unit).toFixed(Math.min(digits, 6))}${name}`;
}

/** A moment as a Date, which has no more than ms. */
function moment(text) {
  return new Date(`${text.slice(0, 23)}Z`);
}

function share(part, whole) {
  return whole > 0 ? `${Math.round((100 * part) / whole)}%` : "";
}

function count(number, one, several = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : several}`;
}

const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** One line of text of a span: characters that would move or turn other text are shown, not obeyed. */
function line(text) {
  return text.replace(CONTROLS, (character) => {
    const code = character.charCodeAt(0);
    if (/\s/.test(character)) return " ";
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : "�";
  });
}

/** Text of a span that may have several lines. */
function lines(text) {
  return text.split(/\r?\n/).map((each) => each.split("\t").map(line).join("\t")).join("\n");
}

function find(id) {
  return document.getElementById(id);
}

/** Make an element; names of attributes are ours, their values and the children may be anybody's. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== "") made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A value of a span: as text, and as a link where it is the address of a web page. */
function value(any) {
  const text = typeof any === "string" ? any : JSON.stringify(any);
  if (!/^https?:\/\/\S+$/i.test(text)) return make("span", { class: "theirs" }, lines(text));
  return make("a", { class: "theirs", href: text, target: "_blank", rel: "noopener noreferrer" }, line(text));
}

function button(text, title, press) {
  const made = make("button", { type: "button", class: "tool", title, "aria-label": title }, text);
  made.addEventListener("click", press);
  return made;
}

/** Say something in passing. */
function say(text) {
  find("said").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { find("said").textContent = ""; }, 1600);
}

function copy(text, what) {
  const done = () => say(`Copied ${what}`);
  // Not there on pages over plain HTTP; and a browser may refuse.
  if (!navigator.clipboard) return copyByHand(text, done);
  navigator.clipboard.writeText(text).then(done, () => copyByHand(text, done));
}

function copyByHand(text, done) {
  const area = make("textarea", { "aria-hidden": "true" });
  area.value = text;
  const before = document.activeElement;
  document.body.append(area);
  area.select();
  if (document.execCommand("copy")) done();
  else say("This browser lets nothing be copied");
  area.remove();
  before.focus();
}
