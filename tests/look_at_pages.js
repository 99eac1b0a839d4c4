// Run in a page whose iframes show the pages: says what is wrong with each of them, as JSON by the iframe's name.
"use strict";

const TEXT_CONTRAST = 4.5, LARGE_TEXT_CONTRAST = 3, LINE_CONTRAST = 3;  // WCAG 2.2 AA: 1.4.3 and 1.4.11
const SMALLEST_TARGET = 24;  // 2.5.8
const SMALLEST_TEXT = 7.5;  // of plots, which shrink with the page

function look(frame) {
  const page = frame.contentDocument, view = frame.contentWindow, faults = [];
  const style = element => view.getComputedStyle(element);
  const say = (kind, element, more) => faults.push(`${kind}: ${element.tagName.toLowerCase()} "${element.textContent.trim().slice(0, 40)}" ${more}`);

  // Colours are [red, green, blue, alpha], 0 to 1.
  const colour = (text, opacity = 1) => {
    const parts = (text.match(/[\d.]+/g) || []).map(Number);
    return text === "none" || !parts.length ? [0, 0, 0, 0] : [parts[0] / 255, parts[1] / 255, parts[2] / 255, (parts[3] ?? 1) * opacity];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = rgb => rgb.slice(0, 3).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = element => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.unshift(colour(style(each).backgroundColor));
    return layers.reduce((below, layer) => over(layer, below), [1, 1, 1, 1]);
  };
  const opacity = element => element ? Number(style(element).opacity) * opacity(element.parentElement) : 1;
  const hasOwnText = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  const outside = (inner, outer) => inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;

  const width = page.documentElement.clientWidth;
  if (page.documentElement.scrollWidth > width) {
    const widest = [...page.body.querySelectorAll("*")].filter(each => !each.closest(".scroll, pre") && each.getBoundingClientRect().right > width + 1).pop();
    say("scrolls sideways", widest || page.body, `${page.documentElement.scrollWidth} of ${width} pixels`);
  }

  for (const image of page.images) if (!image.naturalWidth || !image.getBoundingClientRect().width) say("no size", image, image.alt);

  for (const element of page.body.querySelectorAll("*:not(svg, svg *)")) {
    if (!hasOwnText(element)) continue;
    const its = style(element), large = parseFloat(its.fontSize) >= 24 || (parseFloat(its.fontSize) >= 18.66 && its.fontWeight >= 700);
    if (its.display !== "inline" && element.scrollWidth > element.clientWidth + 1 && !["auto", "scroll"].includes(its.overflowX)) {
      say("cut off", element, `${element.scrollWidth} of ${element.clientWidth} pixels`);
    }
    const below = ground(element), found = contrast(over(colour(its.color, opacity(element)), below), below);
    if (found < (large ? LARGE_TEXT_CONTRAST : TEXT_CONTRAST)) say("contrast", element, `${found.toFixed(2)} of ${its.color}`);
  }

  for (const link of page.links) {
    const box = link.getBoundingClientRect();
    if (box.height < SMALLEST_TARGET || box.width < SMALLEST_TARGET) say("small target", link, `${box.width.toFixed()} by ${box.height.toFixed()} pixels`);
    if (box.right > width + 1) say("cut off", link, "beyond the page");
    if (link.hash && !page.getElementById(link.hash.slice(1))) say("leads nowhere", link, link.hash);
  }

  for (const svg of page.querySelectorAll("svg.figure")) lookAtPlot(svg);

  function lookAtPlot(svg) {
    const name = svg.getAttribute("aria-label"), box = svg.getBoundingClientRect(), below = ground(svg);
    if (!(box.width > 100 && box.height > 100)) say("no size", svg, name);
    const scale = box.width / svg.viewBox.baseVal.width;
    const shapes = [], texts = [];
    for (const element of svg.querySelectorAll("path, rect, use, text")) {
      if (element.closest("defs, clipPath")) continue;
      const its = style(element), rect = element.getBoundingClientRect(), all = opacity(element);
      if (element.tagName !== "text") {
        shapes.push({ rect, fill: colour(its.fill, its.fillOpacity * all), stroke: colour(its.stroke, its.strokeOpacity * all), width: parseFloat(its.strokeWidth), element });
        continue;
      }
      if (!element.textContent.trim()) continue;
      if (outside(rect, box)) say("outside its plot", element, name);
      if (parseFloat(its.fontSize) * scale < SMALLEST_TEXT) say("too small", element, `${(parseFloat(its.fontSize) * scale).toFixed(1)} pixels in ${name}`);
      const [x, y] = [(rect.left + rect.right) / 2, (rect.top + rect.bottom) / 2];
      const under = shapes.filter(shape => shape.fill[3] && shape.rect.left < x && shape.rect.right > x && shape.rect.top < y && shape.rect.bottom > y);
      const behind = under.reduce((sum, shape) => over(shape.fill, sum), below);
      const found = contrast(over(colour(its.fill, its.fillOpacity * all), behind), behind);
      if (found < TEXT_CONTRAST) say("contrast", element, `${found.toFixed(2)} in ${name}`);
      // Lines of text have room above and below that no letter takes.
      texts.push({ element, left: rect.left + 1, right: rect.right - 1, top: rect.top + rect.height * 0.2, bottom: rect.bottom - rect.height * 0.2, upright: rect.height > rect.width });
    }
    texts.forEach((one, i) => {
      const other = texts.slice(i + 1).find(each => each.left < one.right && each.right > one.left && each.top < one.bottom && each.bottom > one.top);
      if (other) say("overlaps", one.element, `"${other.element.textContent.trim()}" in ${name}`);
    });
    // What carries the data: lines and filled shapes, but not the grid, and not shades, which tell more by their numbers.
    const unlike = new Set();
    for (const { fill, stroke, width, element } of shapes) {
      if (element.closest("[id*=QuadMesh]")) continue;
      const paints = [fill, width > 0.75 ? stroke : [0, 0, 0, 0]].filter(each => each[3] > 0);
      const found = Math.max(...paints.map(paint => contrast(over(paint, below), below)));
      if (paints.length && found < LINE_CONTRAST) unlike.add(`${found.toFixed(2)} of ${paints[0].map(each => each.toFixed(2))}`);
    }
    for (const each of unlike) faults.push(`contrast: a line or shape ${each} in ${name}`);
  }
  const pictures = page.images.length + page.querySelectorAll("svg.figure").length;
  return { faults, pictures, width: view.innerWidth, dark: view.matchMedia("(prefers-color-scheme: dark)").matches };
}

window.addEventListener("load", () => {
  const seen = {};
  for (const frame of document.querySelectorAll("iframe")) seen[frame.name] = look(frame);
  document.getElementById("seen").textContent = JSON.stringify(seen);
});
