// Polls the service, keeps the last answer, redraws. While the service is away the page says so and tries again.
import { followCursor } from "./charts.js";
import { clock, h, patch, span, zone } from "./dom.js";
import { notes, segments } from "./segments.js";
import { happened, tabs, verdict, verdictOf } from "./verdict.js";
import { intake, learners, mainChart, sideCharts, signals } from "./views.js";
import * as words from "./words.js";

const POLL_MS = 1500;
const TIMEOUT_MS = 8000;
const STALE_COMMIT_MS = 60000;
const $ = (id) => document.getElementById(id);

const view = { name: null, names: [], monitors: {}, service: {}, m: null, drifts: [], rejects: {}, alerts: {}, filter: "", lost: null, unready: null };
const memory = { details: new Map(), stamp: "", turns: 0, okMs: Date.now(), serverMs: Date.now(), timer: 0, busy: false };

async function get(path) {
  const reply = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store", headers: { accept: "application/json" } });
  if (!reply.ok) {
    const problem = await reply.json().catch(() => ({}));
    throw Object.assign(new Error(words.sentence(problem.detail || `it answers with status ${reply.status}`)), { status: reply.status });
  }
  memory.serverMs = Date.parse(reply.headers.get("date")) || Date.now();
  return reply.json();
}

/** An answer that the page can do without: on failure the older one stays. */
const optional = (path, old) => get(path).catch(() => old);

/** The monitor that the address names, else the one shown, else the worst. */
function choose() {
  const asked = new URLSearchParams(location.hash.slice(1)).get("monitor");
  const known = [asked, view.name].find((name) => view.names.includes(name));
  if (known != null) return known;
  const rank = (name) => words.RANK[view.monitors[name].verdict?.answer] ?? 1;
  return [...view.names].sort((a, b) => rank(a) - rank(b))[0] ?? null;
}

const failure = (old, sinceMs, reason) => ({ since_ms: old?.since_ms ?? sinceMs, reason, tries: (old?.tries || 0) + 1 });

async function refresh() {
  const [top, unready] = await Promise.all([get("v1/monitors"), get("readyz").then(() => null, (error) => error)]);
  view.unready = unready && failure(view.unready, Date.now(), `The service is not ready. ${unready.message}`);
  view.monitors = top.monitors || {};
  view.service = top.service || {};
  view.names = Object.keys(view.monitors).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  view.name = choose();
  const name = view.name;
  if (name == null) {
    view.m = null;
    return;
  }
  const brief = view.monitors[name];
  const stamp = JSON.stringify([name, brief.state_sha256, brief.event, brief.counts]);
  if (stamp !== memory.stamp || !memory.details.has(name)) {
    const path = encodeURIComponent(name);
    const [detail, drifts] = await Promise.all([get(`v1/monitors/${path}`), optional(`v1/drifts?monitor=${path}&limit=50`, { drifts: [] })]);
    memory.details = new Map([[name, detail]]);
    view.drifts = drifts.drifts;
    memory.stamp = stamp;
  }
  if (memory.turns++ % 3 === 0) {
    [view.rejects, view.alerts] = await Promise.all([optional("v1/rejects?limit=6", view.rejects), optional("v1/alerts?limit=8", view.alerts)]);
  }
  view.m = { ...memory.details.get(name), ...brief, series: memory.details.get(name)?.series || {} };
}

async function turn() {
  if (memory.busy || document.hidden) return;
  memory.busy = true;
  try {
    await refresh();
    memory.okMs = Date.now();
    view.lost = null;
  } catch (error) {
    const reason = error.status ? error.message : "The service does not answer.";
    view.lost = failure(view.lost, memory.okMs, reason);
  }
  memory.busy = false;
  draw();
}

async function loop() {
  try {
    await turn();
  } finally {
    clearTimeout(memory.timer);
    if (!document.hidden) memory.timer = setTimeout(loop, POLL_MS);
  }
}

function connection() {
  if (view.lost) return ["lost", `Connection lost since ${clock(view.lost.since_ms)}. ${view.lost.reason} Shown is what was known then; trying again.`];
  if (view.unready) return ["slow", `Since ${clock(view.unready.since_ms)}: ${view.unready.reason}`];
  const lag = Object.values(view.service.partitions || {}).reduce((all, p) => all + (p.lag || 0), 0);
  const idle = memory.serverMs - (view.service.commit?.last_ms ?? memory.serverMs);
  if (lag > 0 && idle > STALE_COMMIT_MS) return ["slow", `Events wait, but nothing was committed for ${span(idle)}.`];
  return ["live", `Live · times in ${zone}`];
}

function announce() {
  const v = verdictOf(view);
  const text = `${words.headline(v.answer, view.name)}. ${v.answer === "yes" ? "" : words.sentence(v.reason)}`.trim();
  const sign = { yes: "✓", no: "✕", cannot_tell: "?" }[v.answer] || "?";
  if (memory.said !== `${view.name}${v.answer}`) $("announcement").textContent = text;
  memory.said = `${view.name}${v.answer}`;
  document.title = `${sign} ${view.name}: ${(words.ANSWERS[v.answer] || "cannot tell").toLowerCase()} · Anchorwatch`;
  $("verdict").className = `verdict ${v.answer}`;
}

/** One part that cannot be drawn takes no other with it, and says so. */
function part(id, content) {
  try {
    patch($(id), content($(id)));
  } catch (error) {
    console.error(error);
    patch($(id), h("p", "loses", `This part cannot be drawn: ${error.message}`));
  }
}

const inside = (box) => box.clientWidth - parseFloat(getComputedStyle(box).paddingLeft) * 2;

function drawCharts() {
  if (!view.m) return;
  part("chart-main", (box) => mainChart(view, inside(box)));
  part("chart-side", (box) => sideCharts(view, inside(box)));
}

function drawSignals() {
  if (!view.m) return;
  part("signals-body", () => {
    const found = signals(view);
    $("signals-count").textContent = found.count;
    return found.cards;
  });
}

function draw() {
  const [state, text] = connection();
  $("top").className = state;
  if ($("connection").textContent !== text) $("connection").textContent = text;
  document.body.classList.toggle("stale", Boolean(view.lost && view.m));
  if (!view.m) return nothing();
  document.body.classList.remove("bare");
  $("monitors").hidden = view.names.length < 2;
  patch($("monitors"), view.names.length < 2 ? [] : tabs(view));
  announce();
  part("verdict", () => verdict(view));
  part("happened-body", () => happened(view));
  drawCharts();
  drawSignals();
  part("learners-body", () => [learners(view), notes(view)]);
  $("segments").hidden = !Object.keys(view.m.segments || {}).length;
  if (!$("segments").hidden) part("segments-body", () => segments(view));
  part("intake-body", () => intake(view));
  $("version").textContent = view.service.version || "";
}

function nothing() {
  document.body.classList.add("bare");
  const text = view.lost ? ["The service does not answer", "This page tries again by itself."]
    : ["No monitor is configured", "Write one from a sample of your events, then serve it:"];
  patch($("verdict"), h("div", "say", h("h1", "", text[0]), h("p", "", text[1]),
    view.lost ? null : h("pre", "", "anchorwatch init SAMPLE.csv -o anchorwatch.toml\nanchorwatch serve --config anchorwatch.toml")));
}

$("filter").addEventListener("input", (event) => {
  view.filter = event.target.value.trim();
  drawSignals();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || /INPUT|TEXTAREA|SELECT/.test(document.activeElement?.nodeName)) return;
  event.preventDefault();
  $("filter").focus();
});
document.addEventListener("visibilitychange", loop);
addEventListener("hashchange", () => {
  memory.stamp = "";
  loop();
});
new ResizeObserver(() => requestAnimationFrame(drawCharts)).observe($("charts-body"));
followCursor($("charts-body"));
loop();
