// Traces that come while the page is open, from the server that sent it.

/** Call `take` with each. A page that nobody sees does not listen: a browser has six connections for all of them. */
function listenToServer(address, take) {
  const state = find("live");
  const tell = (name, title) => {
    state.hidden = false;
    state.className = name;
    state.textContent = name;
    state.title = title;
  };
  let source = null;
  let seen = "";
  const listen = () => {
    const from = new URL(address, location.href);
    if (seen) from.searchParams.set("after", seen);
    source = new EventSource(from);
    for (const sign of ["open", "hello"]) source.addEventListener(sign, () => tell("live", "New traces appear by themselves"));
    // The browser tries again by itself, unless the server said that it is pointless.
    source.addEventListener("error", () => tell("lost", "The server does not answer; what has come stays here"));
    source.addEventListener("trace", (event) => {
      seen = event.lastEventId;
      take(JSON.parse(event.data));
    });
  };
  tell("connecting", "Waiting for the server");
  document.addEventListener("visibilitychange", () => {
    source?.close();
    if (!document.hidden) listen();
  });
  if (!document.hidden) listen();
}
