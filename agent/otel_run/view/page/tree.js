// The first cell of a row: where it stands in the tree, what it is, and what there is to say about it.

// Levels that are indented; below them the level is written as a number.
const INDENTED = 16;

/** Make the cell of a row. */
function tree(trace, index, isCollapsed) {
  const row = trace.rows[index];
  const note = row.note && `← ${line(row.note)}`;
  const label = line(row.label) || "unnamed";
  const cell = make("div", { role: "gridcell", class: "tree", title: [label, note].filter(Boolean).join("\n") });
  const indent = make("span", { class: "indent" });
  indent.style.width = `${16 * Math.min(row.depth, INDENTED)}px`;
  cell.append(indent);
  if (row.depth > INDENTED) cell.append(make("span", { class: "depth" }, String(row.depth)));
  const sign = trace.isLeaf(index) ? "" : isCollapsed ? "▶" : "▼";
  cell.append(make("span", { class: "twisty", "aria-hidden": "true" }, sign), make("span", { class: "swatch" }));
  if (row.is_parallel) cell.append(make("span", { class: "beside-others", title: "It ran beside others" }, "∥"));
  if (row.spans.length > 1) cell.append(make("span", { class: "times" }, `${row.spans.length.toLocaleString("en")}×`));
  cell.append(make("span", { class: "label theirs" }, label));
  if (isCollapsed) cell.append(mark(`+${trace.ends[index] - index - 1}`, "soft"));
  if (row.failure) cell.append(mark(`✗ ${line(row.failure)}`, "bad"));
  if (row.spans[0].is_open) cell.append(mark("… still running", "soft"));
  if (row.spans[0].is_orphan) cell.append(mark("parent not seen", "soft"));
  if (row.cut_spans) cell.append(mark(`… ${count(row.cut_spans, "span")} cut`, "soft"));
  if (note) cell.append(make("span", { class: "note theirs" }, note));
  return cell;
}

function mark(text, kind) {
  return make("span", { class: `mark ${kind} theirs` }, text);
}
