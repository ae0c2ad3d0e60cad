// The page that shows the ledger: its rows are filtered, and its graphs followed from a claim.
// Without this script all rows and all lines are there.
"use strict";

// ---- the rows

function filterRows(fields) {
  const rows = [...document.querySelectorAll("table.ledger tbody tr")].map((row) => {
    const said = [row.querySelector("th"), row.querySelector("summary")].map((x) => x.textContent);
    return {
      row,
      chapter: row.closest("section"),
      text: [...said, row.id].join(" ").toLowerCase(),
    };
  });
  const count = fields.querySelector("output");

  function show() {
    const { words, verdict, chapter } = Object.fromEntries(new FormData(fields));
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = new Set();
    let shown = 0;
    for (const one of rows) {
      const fits =
        wanted.every((word) => one.text.includes(word)) &&
        (!verdict || one.row.classList.contains(verdict)) &&
        (!chapter || one.chapter.id === chapter);
      one.row.hidden = !fits;
      if (fits) kept.add(one.chapter);
      shown += fits;
    }
    for (const { chapter: one } of rows) one.hidden = !kept.has(one);
    count.textContent = `${shown} of ${rows.length} claims`;
  }

  // A link to a row that is filtered out brings all rows back.
  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target?.closest("table.ledger [hidden], section.ledger[hidden]")) {
      fields.reset();
      show();
      target.scrollIntoView();
    }
  }

  fields.hidden = false;
  fields.addEventListener("input", show);
  fields.addEventListener("submit", (event) => event.preventDefault());
  fields.addEventListener("reset", () => setTimeout(show));
  window.addEventListener("hashchange", reveal);
  show();
}

// ---- the graphs

function reachable(start, ends, from, to) {
  const reached = new Set([start]);
  for (const one of reached) {
    for (const edge of ends) if (edge.dataset[from] === one) reached.add(edge.dataset[to]);
  }
  return reached;
}

function followGraph(graph) {
  const said = graph.parentElement.nextElementSibling;
  const otherwise = said.textContent;
  const edges = [...graph.querySelectorAll(".edge")];
  const claims = [...graph.querySelectorAll(".claim")];
  const names = Object.fromEntries(
    claims.map((x) => [x.dataset.label, x.querySelector("text").textContent]),
  );

  function follow(claim) {
    const label = claim.dataset.label;
    const above = reachable(label, edges, "to", "from");
    const below = reachable(label, edges, "from", "to");
    graph.classList.add("followed");
    for (const edge of edges) {
      const { from, to } = edge.dataset;
      edge.classList.toggle("rests", above.has(from) && above.has(to));
      edge.classList.toggle("bears", below.has(from) && below.has(to));
    }
    for (const one of claims) {
      const other = one.dataset.label;
      one.classList.toggle("on", above.has(other) || below.has(other));
    }
    const uses = edges.filter((x) => x.dataset.to === label).map((x) => names[x.dataset.from]);
    const users = edges.filter((x) => x.dataset.from === label).map((x) => names[x.dataset.to]);
    said.textContent =
      claim.getAttribute("aria-label") +
      (uses.length ? `. Uses ${uses.join(", ")}` : ". Uses no other claim") +
      (users.length ? `; used by ${users.join(", ")}.` : ".");
  }

  function leave() {
    graph.classList.remove("followed");
    said.textContent = otherwise;
  }

  for (const claim of claims) {
    for (const event of ["pointerenter", "focus"]) claim.addEventListener(event, () => follow(claim));
    for (const event of ["pointerleave", "blur"]) claim.addEventListener(event, leave);
  }
}

const fields = document.querySelector(".ledger-fields");
if (fields) filterRows(fields);
document.querySelectorAll(".claims-graph").forEach(followGraph);
