// Folds: proofs, checks and code. Two buttons open and close all of a page, and the choice is
// remembered; a link into a fold opens it; on paper all are open.
"use strict";

// So few folds are opened one by one.
const FEW = 3;

const folds = () => [...document.querySelectorAll("article details")];

// A browser may refuse to store anything for a page that is opened as a file.
function remembered() {
  try {
    return localStorage.getItem("folds");
  } catch {
    return null;
  }
}

function remember(choice) {
  try {
    localStorage.setItem("folds", choice);
  } catch {
    // Then the choice holds for this page alone.
  }
}

function setAll(open) {
  folds().forEach((fold) => (fold.open = open));
}

function button(choice, text) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = `folds-${choice}`;
  made.textContent = text;
  made.addEventListener("click", () => {
    setAll(choice === "open");
    remember(choice);
    document.getElementById("folds-said").textContent =
      choice === "open" ? "All are open." : "All are closed.";
  });
  return made;
}

// The row stands below the page's box, or below its title.
function offer() {
  const here = folds();
  if (here.length < FEW) return;
  const row = document.createElement("div");
  row.className = "folds";
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "Proofs, checks and code");
  const said = document.createElement("span");
  said.id = "folds-said";
  said.className = "visually-hidden";
  said.setAttribute("role", "status");
  const label = document.createElement("span");
  label.textContent = "Proofs, checks and code:";
  row.append(label, button("open", "open all"), button("close", "close all"), said);
  const head =
    document.querySelector("article .admonition.in-short") ?? document.querySelector("article h1");
  head?.after(row);
}

// A link into a fold opens it and those around it.
function unfold() {
  let place = location.hash.slice(1);
  try {
    place = decodeURIComponent(place);
  } catch {
    // An anchor that is not encoded stands for itself.
  }
  const target = place && document.getElementById(place);
  const fold = target && target.closest("details");
  if (!fold) return;
  for (let one = fold; one; one = one.parentElement.closest("details")) one.open = true;
  target.scrollIntoView();
}

// A second click on the same link changes no address, and has to open the fold again.
function followed(event) {
  const link = event.target.closest?.("a[href]");
  if (link && link.hash && link.href === location.href) setTimeout(unfold);
}

window.addEventListener("DOMContentLoaded", () => {
  offer();
  if (remembered()) setAll(remembered() === "open");
  unfold();
});
window.addEventListener("hashchange", unfold);
document.addEventListener("click", followed);

// A closed proof, or a check, would be missing from a printed page.
let closed = [];
window.addEventListener("beforeprint", () => {
  closed = folds().filter((fold) => !fold.open);
  setAll(true);
});
window.addEventListener("afterprint", () => closed.forEach((fold) => (fold.open = false)));
