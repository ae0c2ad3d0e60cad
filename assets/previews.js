// What a link leads to, shown beside it: a theorem, an equation, a term, a figure or a reference.
// By the mouse, by the key that moves the focus, and on a touch screen by a long touch.
"use strict";

const previews = (() => {
  const KINDS = "div.proof, div.math, div.citation, dt, figure:not(.explorer)";
  const pages = new Map(); // from other pages: a promise of what each has to show
  const waiting = new Map();
  const site = () => new URL(document.documentElement.dataset.content_root, location.href);

  // The scripts with what other pages show call this.
  function keep(page, parts) {
    waiting.get(page)?.(parts);
  }

  // A page opened as a file may not fetch anything, but it may load a script.
  function load(page) {
    if (!pages.has(page)) {
      const parts = new Promise((resolve) => {
        waiting.set(page, resolve);
        const script = document.createElement("script");
        script.src = new URL(`_static/previews/${page.replace(/\.html$/, ".js")}`, site());
        script.onerror = () => resolve({});
        document.head.append(script);
      });
      pages.set(page, parts);
    }
    return pages.get(page);
  }

  // The element that a link of this page leads to, where it is one that is shown.
  async function target(link) {
    const there = new URL(link.href);
    const id = decodeURIComponent(there.hash.slice(1));
    if (!id || there.origin !== location.origin) return null;
    if (there.pathname === location.pathname) return document.getElementById(id);
    if (!there.pathname.startsWith(site().pathname)) return null;
    const part = (await load(there.pathname.slice(site().pathname.length)))[id];
    if (!part) return null;
    const page = new DOMParser().parseFromString(part, "text/html");
    for (const image of page.querySelectorAll("img")) {
      image.src = new URL(image.getAttribute("src"), there);
    }
    return page.getElementById(id);
  }

  // A copy without what can be clicked: the link itself leads there.
  function copy(element) {
    const box = document.createElement("div");
    box.className = "preview";
    box.append(document.importNode(element, true));
    if (element.matches("dt")) {
      let next = element.nextElementSibling;
      while (next && next.matches("dt")) next = next.nextElementSibling;
      if (next) box.append(document.importNode(next, true));
      if (element.matches(".sig") && next) {
        const first = next.querySelector("p");
        box.lastChild.replaceChildren(...(first ? [document.importNode(first, true)] : []));
      }
      const list = document.createElement("dl");
      list.append(...box.childNodes);
      box.append(list);
    }
    box.querySelectorAll(".headerlink, .eqno a, button, script, annotation").forEach((e) => e.remove());
    box.querySelectorAll("[id]").forEach((e) => e.removeAttribute("id"));
    for (const link of box.querySelectorAll("a")) {
      const words = document.createElement("span");
      words.append(...link.childNodes);
      link.replaceWith(words);
    }
    return box;
  }

  // The first time, there is nothing to show yet: find it, and show it if it is still asked for.
  function prepare(instance) {
    const link = instance.reference;
    if (instance.prepared) return true;
    if (!instance.asked) {
      instance.asked = target(link).then((element) => {
        if (!element || !element.matches(KINDS)) return instance.disable();
        instance.setContent(copy(element));
        instance.prepared = true;
        if (link.matches(":hover") || link === document.activeElement) instance.show();
      });
    }
    return false;
  }

  function start() {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    tippy.delegate("main", {
      target: "a.reference.internal[href*='#'], .bd-article a[href*='#']:not(.headerlink)",
      trigger: "mouseenter focus",
      touch: ["hold", 500],
      delay: [250, 100],
      duration: still ? 0 : [150, 100],
      interactive: true, // what is shown stays while the mouse is over it
      appendTo: () => document.body,
      aria: { content: "describedby", expanded: false },
      maxWidth: "min(42rem, calc(100vw - 1rem))",
      placement: "top-start",
      theme: "book",
      onShow: prepare,
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") tippy.hideAll();
    });
  }

  window.addEventListener("DOMContentLoaded", start);
  return { keep };
})();
