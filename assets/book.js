// What the pages need beyond their theme. Everything here works without a network.
"use strict";

// The theme's icons replace <i> elements, which also hold those of the widgets' buttons.
window.FontAwesomeConfig = Object.assign({ autoReplaceSvg: "nest" }, window.FontAwesomeConfig);

// The widget manager's schema checker remarks on its own schema, which no reader can act on.
const warn = console.warn.bind(console);
console.warn = (...message) => {
  if (!String(message[0]).startsWith("strict mode: use allowUnionTypes")) warn(...message);
};

// Widgets say nothing to a screen reader by themselves: a frame's picture is described by the text
// below it, and a slider is called what stands before it.
function describe() {
  for (const image of document.querySelectorAll("img.widget-image:not([alt])")) {
    const caption = image.parentElement.querySelector(".widget-html-content")?.textContent.trim();
    if (caption) image.alt = caption;
  }
  for (const handle of document.querySelectorAll(".noUi-handle:not([aria-label])")) {
    const label = handle.closest(".jupyter-widgets")?.querySelector(".widget-label")?.textContent.trim();
    if (label) handle.setAttribute("aria-label", label);
  }
}

window.addEventListener("DOMContentLoaded", () => {
  describe();
  new MutationObserver(describe).observe(document.body, {
    childList: true,
    subtree: true,
  });
});
