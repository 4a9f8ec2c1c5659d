// What a pointer is dragged over: a stretch of time to look closer at, and the edge of a column.

/** Let a person drag over `area`: `chosen(a, b)` is called with both ends, as parts of its width. */
function onDrag(area, chosen) {
  const mark = area.querySelector(".brush");
  const place = (event) => {
    const box = area.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  area.addEventListener("pointerdown", (down) => {
    if (down.button !== 0) return;
    const start = place(down);
    const move = (event) => {
      const [left, right] = [start, place(event)].sort((one, other) => one - other);
      mark.hidden = false;
      mark.style.left = `${100 * left}%`;
      mark.style.width = `${100 * (right - left)}%`;
    };
    const stop = (event) => {
      area.removeEventListener("pointermove", move);
      area.removeEventListener("pointerup", stop);
      area.removeEventListener("pointercancel", stop);
      mark.hidden = true;
      const [left, right] = [start, place(event)].sort((one, other) => one - other);
      // Less is the trembling of a click.
      if (event.type === "pointerup" && right - left > 0.004) chosen(left, right);
    };
    area.setPointerCapture(down.pointerId);
    area.addEventListener("pointermove", move);
    area.addEventListener("pointerup", stop);
    area.addEventListener("pointercancel", stop);
  });
}

/** Let a person drag the edge of the tree's column. */
function onSplit(splitter) {
  splitter.addEventListener("pointerdown", (down) => {
    splitter.setPointerCapture(down.pointerId);
    const box = find("scroll").getBoundingClientRect();
    const move = (event) => {
      const wide = Math.min(85, Math.max(20, (100 * (event.clientX - box.left)) / box.width));
      document.documentElement.style.setProperty("--tree", `${wide}%`);
    };
    splitter.addEventListener("pointermove", move);
    splitter.addEventListener("lostpointercapture", () => splitter.removeEventListener("pointermove", move), { once: true });
  });
}
