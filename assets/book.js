// What the pages need beyond their theme. Everything here works without a network.
"use strict";

// The theme's icons replace <i> elements.
window.FontAwesomeConfig = Object.assign({ autoReplaceSvg: "nest" }, window.FontAwesomeConfig);
