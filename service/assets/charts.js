// Line charts and sparklines as SVG: data in, an element out; the cursor is the only thing that lives outside the data.
import { count, figure, grid, h, svg } from "./dom.js";

const LEFT = 46, RIGHT = 12, TOP = 20, BOTTOM = 24;
const cursors = new Map();
const drawn = new Map();

const bounds = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
const seen = (points) => points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));

/** Ticks at 1, 2 or 5 times a power of ten. */
function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999);
  const found = [];
  for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-6; v += step) found.push(Math.abs(v) < step / 1e6 ? 0 : v);
  return [found, step];
}

/** Vertical range with some air, never narrower than `least`, inside `limits` where the measure has them. */
function range(lines, least, limits) {
  let [low, high] = bounds(lines.flatMap((line) => line.points.map((p) => p[1])));
  const air = Math.max((high - low) * 0.08, (least - (high - low)) / 2, 0);
  [low, high] = [low - air, high + air];
  if (limits) [low, high] = [Math.max(low, limits[0]), Math.min(high, limits[1])];
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

const path = (points, x, y) => points.map(([at, value], i) => `${i ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");

const nearest = (points, at) => points.reduce((best, p) => (Math.abs(p[0] - at) < Math.abs(best[0] - at) ? p : best));

/** The lines as of the cursor, or their newest values: the legend doubles as the read-out. */
function legend(chart, at) {
  const value = ({ points }) => chart.format((at == null ? points.at(-1) : nearest(points, at))[1]);
  return h("ul", "legend", chart.lines.map((line) => h("li", line.style, h("i", "swatch"), h("span", "", line.name), h("b", "", value(line)))));
}

const foot = (at) => (at == null ? "" : `at event ${count(at)}`);

function axes(chart, x, y, box) {
  const [values, step] = ticks(...chart.y, box.height > 130 ? 4 : 3);
  const digits = Math.max(0, Math.min(4, -Math.floor(Math.log10(step))));
  const [events] = ticks(...chart.x, box.width > 520 ? 6 : 3);
  return svg("g", "axes",
    values.map((v) => [
      svg("line", { x1: LEFT, x2: box.width - RIGHT, y1: y(v), y2: y(v) }),
      svg("text", { x: LEFT - 7, y: y(v) + 4, "text-anchor": "end" }, chart.tick ? chart.tick(v) : v >= 1000 ? count(v) : v.toFixed(digits)),
    ]),
    events.filter(Number.isInteger).map((v) => svg("text", { x: x(v), y: box.height - 6, "text-anchor": "middle" }, count(v))));
}

function marks(chart, x, box) {
  const [first, last] = chart.x;
  return (chart.marks || []).filter((m) => m.high >= first && m.low <= last).map((m) => {
    const inside = (event) => x(Math.min(Math.max(event, first), last));
    const [from, to] = (m.shade || [0, 0]).map(inside);
    const at = inside(m.event);
    return svg("g", `mark ${m.style}`, svg("title", "", m.text),
      m.shade && svg("rect", { x: from, y: TOP, width: Math.max(to - from, 2), height: box.height - TOP - BOTTOM }),
      svg("line", { x1: at, x2: at, y1: TOP - 6, y2: box.height - BOTTOM }),
      svg("path", { d: `M${at - 4.5} ${TOP - 13}h9l-4.500 8z` }));
  });
}

/** A chart that can be read by eye, by pointer, by arrow keys and, through its label and table, by ear. */
export function lineChart(chart) {
  const lines = chart.lines.map((line) => ({ ...line, points: seen(line.points) })).filter((line) => line.points.length);
  const full = { format: figure, ...chart, lines };
  if (!lines.length) {
    drawn.delete(chart.id);
    return frame(full, null, h("p", "nothing muted", chart.nothing));
  }
  full.x = bounds(lines.flatMap((line) => line.points.map((p) => p[0])));
  if (full.x[0] === full.x[1]) full.x[1] += 1;
  full.y = range(lines, chart.least || 0, chart.limits);
  const box = { width: Math.max(chart.width, 260), height: chart.height };
  const x = (v) => LEFT + ((v - full.x[0]) / (full.x[1] - full.x[0])) * (box.width - LEFT - RIGHT);
  const y = (v) => box.height - BOTTOM - ((v - full.y[0]) / (full.y[1] - full.y[0])) * (box.height - TOP - BOTTOM);
  Object.assign(full, { box, toX: x, toY: y });
  drawn.set(chart.id, full);
  const at = cursors.get(chart.id);
  const picture = svg("svg", { width: box.width, height: box.height, viewBox: `0 0 ${box.width} ${box.height}`, role: "img", tabindex: 0,
    "aria-label": `${chart.title}. ${summary(full)} Arrow keys read single events.` },
    axes(full, x, y, box), marks(full, x, box),
    lines.map((line) => svg("path", { class: `line ${line.style}`, d: path(line.points, x, y) })),
    svg("g", "cursor", pointer(full, at)));
  return frame(full, at, picture, table(full));
}

function frame(chart, at, ...body) {
  return h("figure", { class: "chart", "data-chart": chart.id, key: chart.id },
    h("figcaption", "", h("h3", "", chart.title), h("span", "at muted", foot(at))), legend(chart, at), body);
}

function summary(chart) {
  const newest = chart.lines.map((line) => `${line.name} ${chart.format(line.points.at(-1)[1])}`).join(", ");
  const [from, to] = chart.x;
  const shown = (chart.marks || []).filter((m) => m.high >= from && m.low <= to && m.shade).length;
  return `Events ${count(from)} to ${count(to)}; newest values: ${newest}; ${shown} drift${shown === 1 ? "" : "s"} marked.`;
}

function table(chart) {
  const rows = chart.lines[0].points.slice(-12).map((p) => p[0]).reverse();
  const value = (line, at) => chart.format((line.points.findLast((p) => p[0] <= at) || [])[1]);
  return h("details", "", h("summary", "", "Newest values as a table"),
    grid(["event", ...chart.lines.map((l) => l.name)], rows.map((at) => h("tr", "", h("th", { scope: "row" }, count(at)), chart.lines.map((l) => h("td", "", value(l, at)))))));
}

function pointer({ lines, box, toX, toY }, at) {
  if (at == null) return [];
  const dot = (line, [px, py]) => svg("circle", { class: line.style, cx: toX(px), cy: toY(py), r: 3.5 });
  return [svg("line", { x1: toX(at), x2: toX(at), y1: TOP, y2: box.height - BOTTOM }), ...lines.map((line) => dot(line, nearest(line.points, at)))];
}

function place(node, at) {
  const id = node.dataset.chart;
  const chart = drawn.get(id);
  if (!chart) return;
  if (at == null) cursors.delete(id);
  else cursors.set(id, at);
  node.querySelector(".cursor").replaceChildren(...pointer(chart, at));
  node.querySelector(".legend").replaceWith(legend(chart, at));
  node.querySelector(".at").textContent = foot(at);
}

function follow(event) {
  const picture = event.target.closest?.("figure.chart svg");
  const node = picture?.closest("figure.chart");
  const chart = node && drawn.get(node.dataset.chart);
  if (!chart) return;
  const share = (event.clientX - picture.getBoundingClientRect().left - LEFT) / (chart.box.width - LEFT - RIGHT);
  const at = chart.x[0] + Math.min(Math.max(share, 0), 1) * (chart.x[1] - chart.x[0]);
  place(node, nearest(chart.lines[0].points, at)[0]);
}

function step(event) {
  const node = event.target.closest?.("figure.chart");
  const chart = node && drawn.get(node.dataset.chart);
  if (!chart || event.target.nodeName !== "svg") return;
  const events = chart.lines[0].points.map((p) => p[0]);
  const now = cursors.has(chart.id) ? events.indexOf(nearest(chart.lines[0].points, cursors.get(chart.id))[0]) : events.length;
  const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: events.length - 1 }[event.key];
  if (event.key === "Escape") place(node, null);
  if (to == null) return;
  event.preventDefault();
  place(node, events[Math.min(Math.max(to, 0), events.length - 1)]);
}

/** Let pointer and arrow keys move a cursor through every chart below `root`. */
export function followCursor(root) {
  root.addEventListener("pointermove", follow);
  root.addEventListener("keydown", step);
  for (const name of ["pointerout", "focusout"]) {
    root.addEventListener(name, (event) => {
      const node = event.target.closest?.("figure.chart");
      if (node && !node.contains(event.relatedTarget)) place(node, null);
    });
  }
}

/** Ratios to the threshold; the dashed line is 1. Values above `top` are drawn at the top. */
export function sparkline(lines, label, top = 2) {
  const data = lines.map((line) => ({ ...line, points: seen(line.points) }));
  const [from, to] = bounds(data.flatMap((line) => line.points.map((p) => p[0])));
  const x = (v) => ((v - from) / (to - from || 1)) * 100;
  const y = (v) => 38 - (Math.min(Math.max(v, 0), top) / top) * 36;
  return svg("svg", { class: "spark", viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("line", { class: "one", x1: 0, x2: 100, y1: y(1), y2: y(1) }),
    data.map((line) => svg("path", { class: `line ${line.style}`, d: path(line.points, x, y) })));
}
