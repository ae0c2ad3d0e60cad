// The search page: statements before the pages that mention them, and extracts that can be read.
// Sphinx's own search drops numbers, so that it would take 'Lemma 5' for 'lemma'.
"use strict";

(() => {
  const plain = (words) =>
    words.replace(/<[^>]*>/g, "").replace(/\s+/g, " ").trim().toLowerCase();

  // How well a name answers a query: wholly, at its start, as whole words within it, or not at all.
  function answers(name, query) {
    if (!query) return 0;
    if (name === query || name === `${query}s`) return 3;
    const at = name.indexOf(query);
    const letter = /[\p{Letter}\p{Number}]/u;
    const whole =
      at >= 0 && !letter.test(name[at - 1] ?? " ") && !/^(\p{Letter}{2}|\p{Number}|\.\p{Number})/u.test(name.slice(at + query.length));
    return whole ? (at === 0 ? 2 : 1) : 0;
  }

  const query = () => plain(new URLSearchParams(location.search).get("q") ?? "");
  const isStatement = (title) => /^[A-Z]\w+ \(?[\d.]+[a-z]?\)?( \(.*\))?$/.test(title);
  const entries = new Map(); // what the index calls an anchor of a page

  // The titles of statements without their numbers; the statements themselves are found as such.
  function prepare(index) {
    for (const title of Object.keys(index.alltitles)) {
      if (/^( \(.*\))?$/.test(title)) delete index.alltitles[title];
    }
    for (const [entry, places] of Object.entries(index.indexentries)) {
      for (const [file, anchor] of places) entries.set(`${index.docnames[file]}#${anchor}`, entry);
    }
  }

  // Sections whose title holds the query, however long the title is.
  function sections(index) {
    const found = [];
    for (const [title, places] of Object.entries(index.alltitles)) {
      if (!answers(plain(title), query())) continue;
      for (const [file, anchor] of places) {
        const page = index.titles[file];
        const name = plain(title);
        const score = (anchor === null ? 70 : 20) + 10 * answers(name, query());
        const words = anchor === null ? page : `${page} › ${title}`;
        found.push([index.docnames[file], words, anchor === null ? "" : `#${anchor}`, null, score, index.filenames[file]]);
      }
    }
    return found;
  }

  // A result as it is shown: a statement by its name and its page, a term by what it is.
  function named(item) {
    const [page, title, anchor, about, score, file] = item;
    const entry = entries.get(page + anchor);
    if (about && isStatement(title)) {
      // By its number before all else; by a word of its name after pages with that word in theirs.
      const rank = score + (/\d/.test(query()) ? 60 : 40) * answers(plain(title), query());
      return [page, `${title} <small>${about.replace(/^.*?, in /, "")}</small>`, anchor, null, rank, file];
    }
    if (!about && entry && anchor.startsWith("#term-")) {
      return [page, `${title} › ${entry}`, anchor, about, score + 60 * answers(entry, query()), file];
    }
    if (about) return [page, title, anchor, about, score + 30 * answers(plain(title.split(".").at(-1)), query()), file];
    return item;
  }

  const perform = Search._performSearch;
  Search._performSearch = (...asked) => {
    const index = Search._index;
    prepare(index);
    const found = [...perform(...asked), ...sections(index)].map(named);
    found.sort((a, b) => a[4] - b[4] || (plain(a[1]) > plain(b[1]) ? -1 : 1));
    // One result for each place, the best; the last is shown first.
    const places = new Map(found.map((item) => [item[0] + item[2], item]));
    return found.filter((item) => places.get(item[0] + item[2]) === item);
  };

  // The text of a page or of a part of it, with each formula once, and readable.
  function text(html, anchor) {
    const page = new DOMParser().parseFromString(html, "text/html");
    const idle = ".headerlink, script, style, annotation, .katex-html, .cell_input, .eqno, .toctree-wrapper, summary, h1";
    page.querySelectorAll(idle).forEach((e) => e.remove());
    const marks = { msup: "^", msub: "_", mfrac: "/" };
    for (const [tag, mark] of Object.entries(marks)) {
      page.querySelectorAll(`${tag} > :nth-child(2)`).forEach((e) => e.prepend(mark));
    }
    page.querySelectorAll("msqrt").forEach((e) => e.prepend("√"));
    const main = page.querySelector("article") ?? page.querySelector("main");
    let part = anchor ? page.getElementById(decodeURIComponent(anchor.slice(1))) : null;
    if (part?.matches("dt")) {
      while (part?.matches("dt")) part = part.nextElementSibling;
    }
    part?.querySelectorAll(":scope > .admonition-title").forEach((e) => e.remove());
    return ((part || main)?.textContent ?? "").replace(/\s+/g, " ").trim();
  }

  // What surrounds the first of the words asked for, or else how the text begins.
  function extract(html, words, anchor) {
    const all = text(html, anchor);
    if (!all) return null;
    const places = [...words].map((word) => all.toLowerCase().indexOf(word)).filter((at) => at >= 0);
    let start = Math.max(0, Math.min(...places, all.length) - 120);
    if (!places.length || start === 0) start = 0;
    else start = all.indexOf(" ", start) + 1;
    const end = start + 240 < all.length ? all.lastIndexOf(" ", start + 240) : all.length;
    const said = document.createElement("p");
    said.className = "context";
    said.textContent = `${start ? "… " : ""}${all.slice(start, end)}${end < all.length ? " …" : ""}`;
    return said;
  }
  Search.makeSearchSummary = extract;

  // A page opened as a file may not read another one for an extract.
  if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
})();
