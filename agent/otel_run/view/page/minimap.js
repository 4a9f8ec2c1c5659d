// The whole trace in small, and the part of it that is in sight.

function drawMinimap(trace, visibleRows, [from, to]) {
  const map = find("minimap");
  const canvas = map.querySelector("canvas");
  const scale = devicePixelRatio;
  canvas.width = map.clientWidth * scale;
  canvas.height = map.clientHeight * scale;
  const brush = canvas.getContext("2d");
  const across = canvas.width / trace.length;
  const down = (canvas.height - 4 * scale) / Math.max(8, visibleRows.length);
  const thick = Math.max(scale, Math.min(3 * scale, down * 0.7));
  const paints = resolve([...trace.data.services.map(colour), "var(--s7)", "var(--path)", "var(--bad)"]);
  visibleRows.forEach((index, position) => {
    const row = trace.rows[index];
    const bar = (start, end, kind, height) => {
      brush.fillStyle = paints.get(kind);
      brush.fillRect(start * across, 2 * scale + position * down, Math.max(scale, (end - start) * across), height);
    };
    const [start, end] = trace.reach(index);
    bar(start, end, row.failure ? "var(--bad)" : colour(row.service), thick);
    for (const [begin, stop] of trace.path(index, false)) bar(begin, stop, "var(--path)", thick / 2);
  });
  const [left, right] = map.querySelectorAll(".shade");
  left.style.width = `${(100 * from) / trace.length}%`;
  right.style.width = `${100 - (100 * to) / trace.length}%`;
  right.style.left = `${(100 * to) / trace.length}%`;
}

/** What a canvas takes for these colours of the style sheet. */
function resolve(names) {
  const probe = find("said");
  const resolved = new Map();
  for (const name of names) {
    probe.style.color = name;
    resolved.set(name, getComputedStyle(probe).color);
  }
  probe.style.color = "";
  return resolved;
}
