// Builds and patches the page: text only ever enters as text nodes, so nothing that a stream carries can become markup.
const SVG = "http://www.w3.org/2000/svg";

function build(element, props, kids) {
  const attributes = typeof props === "string" ? { class: props || null } : props || {};
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    element.setAttribute(name === "key" ? "data-key" : name, value === true ? "" : String(value));
  }
  for (const kid of nodes(kids)) element.append(kid);
  return element;
}

function nodes(kids) {
  return [kids].flat(Infinity).filter((kid) => kid != null && kid !== false && kid !== "")
    .map((kid) => (kid instanceof Node ? kid : document.createTextNode(String(kid))));
}

/** An HTML element; `props` are attributes or just a class; `key` names it among its siblings, so that a patch moves it. */
export const h = (tag, props, ...kids) => build(document.createElement(tag), props, kids);

/** The same for SVG. */
export const svg = (tag, props, ...kids) => build(document.createElementNS(SVG, tag), props, kids);

const keyOf = (node) => (node.nodeType === 1 ? node.getAttribute("data-key") : null);
const alike = (a, b) => a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

/** Make the children of `parent` equal to `kids`, keeping focus, scroll positions, selections and open details. */
export function patch(parent, ...kids) {
  const keyed = new Map();
  for (const node of parent.childNodes) if (keyOf(node) != null) keyed.set(keyOf(node), node);
  let at = parent.firstChild;
  for (const fresh of nodes(kids)) {
    const key = keyOf(fresh);
    const old = key != null ? keyed.get(key) : at;
    if (!old || !alike(old, fresh)) {
      parent.insertBefore(fresh, at);
      continue;
    }
    if (old === at) at = at.nextSibling;
    else parent.insertBefore(old, at);
    keyed.delete(key);
    morph(old, fresh);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function morph(old, fresh) {
  if (old.nodeType !== 1) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  patch(old, ...fresh.childNodes);
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const DASH = "–";
const finite = (x) => typeof x === "number" && Number.isFinite(x);

/** 12345 → 12,345 */
export const count = (x) => (finite(x) ? whole.format(x) : DASH);

/** .761 → 0.761; large values lose their decimals. */
export function figure(x, digits = 3) {
  if (!finite(x)) return DASH;
  const size = Math.abs(x);
  if (size >= 1e6 || (size > 0 && size < 10 ** -digits)) return x.toExponential(1).replace("e+", "e");
  return size >= 1000 ? whole.format(x) : x.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : digits);
}

/** 90, 100 → 90.0 % */
export const percent = (part, all) => (all > 0 ? `${((100 * part) / all).toFixed(part === all ? 0 : 1)} %` : DASH);

const SPANS = [[86400000, "d"], [3600000, "h"], [60000, "min"], [1000, "s"]];

/** 7980000 → 2 h 13 min. */
export function span(ms) {
  if (!finite(ms)) return DASH;
  const at = SPANS.findIndex(([size]) => Math.abs(ms) >= size);
  if (at < 0) return ms ? `${Math.round(ms)} ms` : "0 s";
  const [size, unit] = SPANS[at];
  const big = Math.floor(ms / size);
  const small = SPANS[at + 1] && big < 10 ? Math.floor((ms - big * size) / SPANS[at + 1][0]) : 0;
  return small ? `${big} ${unit} ${small} ${SPANS[at + 1][1]}` : `${big} ${unit}`;
}

/** Epoch milliseconds from either spelling of a time on the wire; null when there is none. */
export function epoch(time) {
  const ms = typeof time === "string" ? Date.parse(time) : time;
  return finite(ms) && Math.abs(ms) < 8.64e15 ? ms : null;
}

const format = (options) => new Intl.DateTimeFormat("en-GB", options);
const month = { day: "numeric", month: "short" };
const day = format({ ...month, weekday: "short" });
const year = format({ ...month, year: "numeric" });
const time = format({ timeStyle: "medium" });
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** 03:12:05 in the reader's zone. */
export const clock = (ms) => time.format(ms);

/** A time in the reader's zone, with UTC in its tooltip. */
export function when(time) {
  const ms = epoch(time);
  if (ms == null) return h("span", "", "an unknown time");
  const date = new Date(ms);
  const now = new Date();
  const near = date.getFullYear() === now.getFullYear();
  const today = near && date.toDateString() === now.toDateString();
  const text = `${today ? "today" : (near ? day : year).format(date)}, ${clock(date).slice(0, 5)}`;
  const utc = date.toISOString();
  return h("time", { datetime: utc, title: `${utc.replace("T", " ").slice(0, 19)} UTC` }, text);
}

const ICONS = {
  yes: ["M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20z", "M7 12.500l3.500 3.500 6.500-7.500"],
  no: ["M7.800 2h8.400L22 7.800v8.400L16.200 22H7.800L2 16.200V7.800z", "M8 8l8 8M16 8l-8 8"],
  cannot_tell: ["M12 1.500L22.500 12 12 22.500 1.500 12z", "M9.300 9.800c0-3.700 5.400-3.700 5.400-.3 0 2.200-2.700 2.200-2.700 4.300M12 17v.3"],
};

/** The shape differs with the meaning, not the colour alone. */
export function icon(name, size) {
  const [outline, inner] = ICONS[name] || ICONS.cannot_tell;
  return svg("svg", { class: `icon ${name}`, viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true" },
    svg("path", { class: "outline", d: outline }), svg("path", { class: "inner", d: inner }));
}

/** A real table that scrolls sideways on a phone instead of breaking the page; `#` marks columns of numbers. */
export const grid = (columns, rows) => h("div", "scroll", h("table", "",
  h("thead", "", h("tr", "", columns.map((c) => h("th", { scope: "col", class: c[0] === "#" ? "number" : null }, c.replace("#", ""))))), h("tbody", "", rows)));
