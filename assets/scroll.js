// A box that scrolls sideways can be reached and scrolled by key, and says what it is.
"use strict";

const WORDS = [
  ["pre", "Output"],
  [".text_html, .pst-scrollable-table-container", "Table"],
  [".katex-display", "Formula"],
  ["a.whole-figure", "Figure"],
];

function offerKeys() {
  for (const [boxes, word] of WORDS) {
    for (const box of document.querySelectorAll(`article :is(${boxes})`)) {
      // To measure what is in a closed fold, the browser would have to lay it out first.
      if (!box.checkVisibility()) continue;
      const scrolls = box.scrollWidth > box.clientWidth + 1;
      if (scrolls === box.hasAttribute("data-scrolls")) continue;
      box.toggleAttribute("data-scrolls", scrolls);
      if (box.matches("a")) continue; // a link is reached by key as it is
      if (scrolls) {
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", `${word}, scrolls sideways`);
      } else {
        ["tabindex", "role", "aria-label"].forEach((name) => box.removeAttribute(name));
      }
    }
  }
}

window.addEventListener("load", offerKeys);
window.addEventListener("resize", offerKeys);
// What is in a fold has no width before it opens.
document.addEventListener("toggle", offerKeys, true);
