// SPDX-License-Identifier: MIT OR Apache-2.0
// For the page's test alone: measures how the page lies on the screen, and tells the frame around it.
addEventListener("load", () => {
  const faults = [];
  const what = (e) => `"${e.textContent.trim().slice(0, 40)}"`;
  const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
  const plots = [...document.querySelectorAll("svg")];
  let marks = 0;
  for (const plot of plots) {
    const box = plot.getBoundingClientRect();
    if (box.width < 60 || box.height < 12) faults.push(`a plot is ${box.width} by ${box.height} pixels`);
    const drawn = [...plot.querySelectorAll("path, rect, polyline, circle")].filter((mark) => {
      const size = mark.getBoundingClientRect();
      const style = getComputedStyle(mark);
      return size.width + size.height > 0 && (style.stroke !== "none" || style.fill !== "none");
    });
    marks += drawn.length;
    if (drawn.length === 0) faults.push("a plot has no mark in it");
    const texts = [...plot.querySelectorAll("text")];
    const boxes = texts.map((text) => text.getBoundingClientRect());
    texts.forEach((text, n) => {
      const size = parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a;
      if (size < 9) faults.push(`${what(text)} is ${size.toFixed(1)} pixels high`);
      const { left, right, top, bottom } = boxes[n];
      if (left < box.left - 1 || right > box.right + 1 || top < box.top - 2 || bottom > box.bottom + 2)
        faults.push(`${what(text)} is in part outside of its plot`);
      for (let other = 0; other < n; other++)
        if (!apart(boxes[n], boxes[other])) faults.push(`${what(text)} is on top of ${what(texts[other])}`);
    });
  }
  // Text outside of plots: high enough, not cut off, and no cell of a row on top of another.
  for (const e of document.querySelectorAll("h1, h2, h3, p, figcaption, .row > div")) {
    if (parseFloat(getComputedStyle(e).fontSize) < 11) faults.push(`${what(e)} is small`);
    if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline") faults.push(`${what(e)} is cut off`);
  }
  for (const row of document.querySelectorAll(".row")) {
    const cells = [...row.children].map((cell) => cell.getBoundingClientRect());
    cells.forEach((cell, n) => cells.slice(0, n).forEach((other) => {
      if (!apart(cell, other)) faults.push(`cells of ${what(row)} are on top of each other`);
    }));
  }
  const root = document.documentElement;
  parent.postMessage({ width: innerWidth, wanted: root.scrollWidth, plots: plots.length, marks, faults }, "*");
});
