// Moves the explorers of a page: each shows the frame that its controls, or a landmark, ask for.
"use strict";

const NEAR = 6; // how many frames before and after the shown one are fetched beforehand

function explore(figure) {
  const frames = JSON.parse(figure.querySelector("script").textContent); // [source, words, landmark]
  const [along, choice] = figure.querySelectorAll("input, select");
  const image = figure.querySelector(".explorer-frame");
  const [name, words] = figure.querySelectorAll(":scope > figcaption b, :scope > figcaption span");
  const buttons = [...figure.querySelectorAll("button")];
  const columns = Number(along.max) + 1;

  const index = (control) => (control.options ? control.selectedIndex : Number(control.value));
  const row = () => (choice ? columns * index(choice) : 0);
  const shown = () => row() + index(along);

  function tell(control) {
    if (!control?.dataset.labels) return;
    const label = JSON.parse(control.dataset.labels)[index(control)];
    control.nextElementSibling.value = label;
    control.setAttribute("aria-valuetext", `${control.getAttribute("aria-label")} = ${label}`);
  }

  function show() {
    const [source, text, landmark] = frames[shown()];
    image.src = source;
    image.alt = text;
    name.textContent = landmark && `${landmark}. `;
    words.textContent = text;
    tell(along);
    tell(choice);
    for (const button of buttons) button.ariaPressed = String(button.textContent === landmark);
  }

  function goTo(landmark) {
    const here = frames.findIndex((frame, k) => k >= row() && frame[2] === landmark);
    const found = here >= 0 && here < row() + columns ? here : frames.findIndex((x) => x[2] === landmark);
    along.value = found % columns;
    if (choice?.options) choice.selectedIndex = Math.floor(found / columns);
    else if (choice) choice.value = Math.floor(found / columns);
    show();
  }

  // What is likely to be asked for next; the browser keeps it.
  function fetchNear() {
    const last = row() + columns - 1;
    const wanted = [row(), last];
    for (let k = -NEAR; k <= NEAR; k++) wanted.push(shown() + k);
    for (const k of wanted) if (k >= row() && k <= last) new Image().src = frames[k][0];
  }

  figure.addEventListener("input", () => {
    show();
    fetchNear();
  });
  figure.addEventListener("pointerdown", fetchNear, { once: true });
  figure.addEventListener("focusin", fetchNear, { once: true });
  for (const button of buttons) button.addEventListener("click", () => goTo(button.textContent));

  // Paper shows the landmarks, and does not wait for pictures; their buttons ask for them, too.
  addEventListener("load", () => {
    for (const still of figure.querySelectorAll(".explorer-stills img")) still.loading = "eager";
  });
}

document.querySelectorAll("figure.explorer").forEach(explore);
