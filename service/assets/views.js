// The lower sections: charts, signals, models, intake. Each turns the last answer of the service into elements.
import { lineChart, sparkline } from "./charts.js";
import { DASH, count, epoch, figure, h, percent, span, when } from "./dom.js";
import { coverage, incidents, table } from "./verdict.js";
import * as words from "./words.js";

const entries = (object) => Object.entries(object || {});
const sum = (values) => values.reduce((all, x) => all + (x || 0), 0);

const MEASURES = {
  accuracy: { title: "Accuracy over the last labels", least: 0.1, limits: [0, 1] },
  kappa: { title: "Cohen's kappa over the last labels", least: 0.1, limits: [-1, 1] },
  mae: { title: "Mean absolute error over the last labels", least: 0 },
};

function styleOf(who, m, nth) {
  if (who === "producer" || who.startsWith("producer:")) return "producer";
  if (who === "no_change") return "no-change";
  const role = who === "champion" ? who : m.learners?.[who]?.role;
  if (role === "baseline" || who === "majority" || who === "mean") return "majority";
  return role === "challenger" ? `challenger c${nth % 3}` : role || `challenger c${nth % 3}`;
}

function nameOf(who, m) {
  if (who === "producer") return "your model";
  const role = m.learners?.[who]?.role;
  if (["no_change", "majority", "mean"].includes(who)) return `${words.baseline(who)} (baseline)`;
  return role && role !== "challenger" ? `${who} (${words.ROLES[role] || role})` : who.replace(/^producer:/, "your model, version ");
}

const ORDER = ["producer", "champion", "challenger", "probe", "no-change", "majority"];

function measured(m, measure) {
  const found = entries(m.series).filter(([key]) => key.startsWith(`${measure}:`));
  return found.map(([key, points], nth) => {
    const who = key.slice(measure.length + 1);
    return { name: nameOf(who, m), style: styleOf(who, m, nth), points };
  }).sort((a, b) => ORDER.indexOf(a.style.split(" ")[0]) - ORDER.indexOf(b.style.split(" ")[0]));
}

function markers(m, drifts) {
  const found = incidents(m, drifts).slice(0, 40).map((i) => ({
    event: i.first_event, low: i.onset_low ?? i.first_event, high: Math.max(i.onset_high ?? 0, i.first_event),
    style: `${i.severity} ${i.status === "resolved" ? "over" : "now"}`, text: `${i.headline || (words.KINDS[i.kind] || [i.kind])[0]}, found at event ${count(i.first_event)}`,
  })).map((mark, at) => ({ ...mark, at }));
  const versions = entries(m.producer).filter(([, p]) => Number.isFinite(p.first_event)).map(([version, p]) => ({
    event: p.first_event, low: p.first_event, high: p.first_event, shade: false, style: "version", text: `Your model's version ${version} began at event ${count(p.first_event)}`,
  }));
  return [...found, ...versions];
}

export function mainChart(view, width) {
  const { m } = view;
  const known = Object.keys(MEASURES).filter((key) => measured(m, key).length);
  const measure = known[0] || (m.task === "regression" ? "mae" : "accuracy");
  return lineChart({ id: "measure", ...MEASURES[measure], lines: measured(m, measure), marks: markers(m, view.drifts), width, height: 300,
    nothing: "Nothing to draw yet: the first labels have not reached their predictions." });
}

const UNITS = [[86400000, "days"], [3600000, "hours"], [60000, "minutes"], [1000, "seconds"]];

export function sideCharts(view, width) {
  const { m } = view;
  const delays = m.series?.label_delay || [];
  const longest = Math.max(0, ...delays.map((p) => p[1] || 0));
  const [size, unit] = UNITS.find(([ms]) => longest >= 2 * ms) || UNITS[3];
  const share = (x) => percent(x, 1);
  return [
    lineChart({ id: "coverage", title: "Labels that came, of those due", limits: [0, 1], least: 0.2, format: share, tick: (v) => `${Math.round(100 * v)} %`, height: 112, width,
      lines: [{ name: "covered", style: "champion", points: m.series?.coverage || [] }], nothing: "No prediction has reached the age at which it is judged." }),
    lineChart({ id: "delay", title: `Delay of labels in ${unit}`, least: 0, format: (x) => figure(x, 1), height: 112, width,
      lines: [{ name: "delay", style: "producer", points: delays.map(([x, y]) => [x, y == null ? y : y / size]) }], nothing: "No label has come yet." }),
  ];
}

const PHASES = { watching: 3, learning_reference: 4, waiting: 5, blind: 2 };

function tier(signal, open) {
  if (signal.detectors.some((d) => d.over)) return 0;
  return open.has(signal.name) ? 1 : PHASES[signal.phase] ?? 3;
}

const ratio = (d) => (d.threshold > 0 && Number.isFinite(d.statistic) ? d.statistic / d.threshold : null);

/** Alarming signals first; inside a group by name, so that cards do not jump about with every figure. */
export function signals(view) {
  const open = new Set((view.m.open || []).map((d) => d.signal));
  const all = (view.m.signals || []).map((s) => ({ ...s, detectors: s.detectors || [] })).map((s) => ({ ...s, tier: tier(s, open) }));
  const wanted = view.filter.toLowerCase();
  const text = (s) => `${s.name} ${words.signalName(s.name)} ${s.kind} ${s.phase} ${s.detectors.map((d) => `${d.detector} ${words.detectorName(d.detector)}`).join(" ")}`.toLowerCase();
  const shown = all.filter((s) => text(s).includes(wanted))
    .sort((a, b) => a.tier - b.tier || a.name.localeCompare(b.name, "en", { numeric: true }));
  const cards = shown.length ? shown.map((s) => signalCard(s, view.m)) : h("li", { class: "muted", key: "none" }, all.length ? "No signal matches the filter." : "No signal yet.");
  return { cards, count: tally(all, shown) };
}

function tally(all, shown) {
  const alarms = all.filter((s) => s.tier < 2).length;
  const parts = [`${alarms} of ${count(all.length)} alarm`];
  for (const [phase, name] of [["blind", "blind"], ["learning_reference", "learning"], ["waiting", "waiting"]]) {
    const n = all.filter((s) => s.phase === phase).length;
    if (n) parts.push(`${n} ${name}`);
  }
  if (shown.length < all.length) parts.push(`${shown.length} shown`);
  return parts.join(" · ");
}

const STATES = ["alarm", "open", "blind", "watching", "learning", "waiting"];

function signalCard(signal, m) {
  const read = signal.detectors.map((d) => ({ ...d, ratio: ratio(d) }));
  const label = `${words.signalName(signal.name)}: ${read.map((d) => `${words.detectorName(d.detector)} at ${figure(d.ratio, 2)} of its threshold${d.over ? ", alarm" : ""}`).join("; ") || "no detector has a value"}`;
  const lines = read.map((d) => ({ style: `det ${d.detector}${d.over ? " over" : ""}`, points: m.series?.[`statistic:${signal.name}/${d.detector}`] || (d.ratio == null ? [] : [[0, d.ratio]]) }));
  const watching = signal.phase === "watching" || signal.phase === undefined;
  return h("li", { class: `signal ${STATES[signal.tier]}`, key: signal.name },
    h("div", { class: "head" }, h("h3", { title: signal.name }, words.signalName(signal.name)), h("span", { class: "chip" }, STATES[signal.tier])),
    watching ? sparkline(lines, label) : h("p", { class: "spark phase" }, words.phase(signal)),
    h("p", { class: "ratios" }, read.map((d) => h("span", { class: `det ${d.detector}${d.over ? " over" : ""}`, title: `${words.detectorName(d.detector)}: ${words.against(d)}` },
      h("i", { class: "swatch" }), `${d.detector.replaceAll("_", " ")} `, h("b", {}, figure(d.ratio, 2)))),
    h("span", { class: "muted value" }, Number.isFinite(signal.value) ? `now ${figure(signal.value)}` : "")));
}

const CLASSIFICATION = [["accuracy", "accuracy"], ["kappa", "kappa"], ["kappa_temporal", "kappa-temporal"], ["f1", "F1"], ["log_loss", "log loss"]];
const REGRESSION = [["mae", "MAE"], ["rmse", "RMSE"]];
const LESS_IS_BETTER = new Set(["log_loss", "mae", "rmse"]);
const ROLE_ORDER = ["producer", "champion", "challenger", "probe", "baseline"];

function contenders(m) {
  const mine = entries(m.producer).map(([version, x]) => ({ name: version && version !== "null" ? `your model, version ${version}` : "your model", role: "producer", key: `p:${version}`, ...x }));
  const learners = entries(m.learners).map(([name, x]) => ({ name, key: `l:${name}`, ...x, role: x.role || "challenger" }));
  return [...mine, ...learners].sort((a, b) => ROLE_ORDER.indexOf(a.role) - ROLE_ORDER.indexOf(b.role));
}

/** The baseline that beats `row` over the window (or over all), or null. Honest means: shown where it hurts. */
function beatenBy(row, rows, metric, part) {
  const value = (r) => (part === "window" ? r.window?.[metric] : r[metric]);
  const sign = LESS_IS_BETTER.has(metric) ? -1 : 1;
  if (!Number.isFinite(value(row))) return null;
  const winners = rows.filter((r) => r.role === "baseline" && sign * value(r) > sign * value(row));
  return winners.sort((a, b) => sign * (value(b) - value(a)))[0] || null;
}

function standing(row, rows, metric) {
  if (row.role === "baseline") return h("td", { class: "muted" }, "to be beaten");
  const [now, ever] = [beatenBy(row, rows, metric, "window"), beatenBy(row, rows, metric, "all")];
  if (now) return h("td", { class: "loses" }, `${words.baseline(now.name)} wins here${ever ? ", and over all" : ""}`);
  if (ever) return h("td", { class: "loses" }, `${words.baseline(ever.name)} wins over all`);
  if (!Number.isFinite(row[metric]) || !rows.some((r) => r.role === "baseline")) return h("td", { class: "muted" }, "nothing to compare yet");
  return h("td", { class: "wins" }, "beats every baseline");
}

const best = (values, metric) => (LESS_IS_BETTER.has(metric) ? Math.min : Math.max)(...values.filter(Number.isFinite));

export function learners(view) {
  const { m } = view;
  const rows = contenders(m);
  if (!rows.length) return h("p", { class: "card muted" }, "No model and no baseline has been scored yet: the first labels have not arrived.");
  const metrics = m.task === "regression" ? REGRESSION : CLASSIFICATION;
  const tops = Object.fromEntries(metrics.map(([key]) => [key, [best(rows.map((r) => r.window?.[key]), key), best(rows.map((r) => r[key]), key)]]));
  const cell = (value, top) => h("td", { class: `number${value === top ? " best" : ""}` }, figure(value));
  const row = (r) => h("tr", { key: r.key, class: r.role },
    h("th", { scope: "row" }, h("i", { class: `swatch ${styleOf(r.role === "producer" ? "producer" : r.name, m, 0)}` }), r.role === "baseline" ? words.baseline(r.name) : r.name, " ",
      h("small", { class: "muted" }, r.role === "producer" ? "" : words.ROLES[r.role] || r.role, r.replacements ? ` · replaced ${count(r.replacements)} time${r.replacements === 1 ? "" : "s"}` : "")),
    standing(r, rows, metrics[0][0]),
    metrics.map(([key]) => cell(r.window?.[key], tops[key][0])), metrics.map(([key]) => cell(r[key], tops[key][1])), h("td", { class: "number muted" }, count(r.n)));
  const windowed = Math.max(0, ...rows.map((r) => r.window?.n || 0));
  const group = (title, style) => h("th", { scope: "colgroup", colspan: metrics.length, class: style }, title);
  return h("div", { class: "card scroll" }, h("table", { class: "wide-table" },
    h("caption", { class: "unseen" }, "Your model, learners and baselines, scored on each prediction before its label was learnt"),
    h("thead", {},
      h("tr", {}, h("td", {}), h("td", {}), group(windowed ? `Last ${count(windowed)} labels` : "Last labels", ""), group("Since the start", ""), h("td", {})),
      h("tr", {}, ["Who", "Against the baselines", ...metrics.map((x) => x[1]), ...metrics.map((x) => x[1]), "labels"].map((c, i) => h("th", { scope: "col", class: i > 1 ? "number" : null }, c)))),
    h("tbody", {}, rows.map(row))));
}

export function intake(view) {
  return [flow(view), labels(view), rejects(view), delivery(view), state(view)].map(([key, title, ...body]) => h("div", { class: `card ${key}`, key }, h("h3", {}, title), body));
}

const pairs = (items) => h("dl", { class: "pairs" }, items.filter(Boolean).map(([term, value, title]) => h("div", { title }, h("dt", {}, term), h("dd", {}, value))));

function flow({ service }) {
  const partitions = entries(service.partitions);
  const lag = sum(partitions.map(([, p]) => p.lag));
  const commit = service.commit || {};
  const row = ([id, p]) => h("tr", { key: id }, h("th", { scope: "row" }, id), [p.position, p.end, p.lag].map((x) => h("td", { class: "number" }, count(x))));
  const rows = table(["partition", "position", "end", "lag"], partitions.map(row));
  return ["flow", "Events", pairs([
    ["per second", figure(service.events_per_second, 1)], ["lag", count(lag), "events in the log that are not folded yet"],
    ["in all", count(service.events_total)], ["transport", service.transport || DASH],
    ["commits", count(commit.count)], ["last commit took", Number.isFinite(commit.last_seconds) ? span(commit.last_seconds * 1000) : DASH],
  ]), partitions.length > 4 ? h("details", {}, h("summary", {}, `${partitions.length} partitions`), rows) : rows];
}

function cap(m) {
  const b = m.bounds?.pending ?? m.bounds?.max_pending;
  return typeof b === "number" ? b : b?.cap ?? b?.limit ?? b?.max ?? null;
}

function labels({ m }) {
  const c = m.counts || {};
  const limit = cap(m);
  const { classes, matured, labelled } = coverage(m);
  const whole = matured ? labelled / matured : 0;
  const row = ([name, x]) => h("tr", { key: name }, h("th", { scope: "row" }, name), h("td", { class: "number" }, count(x.labelled)), h("td", { class: "number" }, count(x.matured)),
    h("td", { class: `number${x.matured > 30 && Math.abs(x.labelled / x.matured - whole) > 0.1 ? " uneven" : ""}` }, percent(x.labelled, x.matured)));
  const uneven = classes.some(([, x]) => x.matured > 30 && Math.abs(x.labelled / x.matured - whole) > 0.1);
  return ["labels", "Labels", pairs([
    ["pending", limit ? `${count(c.pending)} of ${count(limit)}` : count(c.pending), words.COUNTS.pending],
    ["judged at age", span(m.age_ms), "the fixed age at which a prediction enters the error detectors"], ["newest event", when(m.watermark_ms)],
    ...["joined", "unlabelled", "late", "early", "orphans", "corrections", "duplicates", "evicted", "unknown_features"].filter((k) => c[k] != null).map((k) => [words.plain(k), count(c[k]), words.COUNTS[k]]),
  ]), limit ? h("meter", { min: 0, max: limit, high: 0.8 * limit, optimum: 0, value: c.pending || 0, "aria-label": "Pending labels against their cap" }) : null,
  classes.length ? table(["predicted", "labelled", "due", "covered"], classes.slice(0, 12).map(row)) : null,
  uneven ? h("p", { class: "loses" }, "Labels come unevenly by predicted class: figures are of a selected part.") : null];
}

const list = (answer, key) => (Array.isArray(answer) ? answer : answer?.[key] || answer?.items || []);

function rejects(view) {
  const reasons = entries(view.m.rejected).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  const latest = list(view.rejects, "rejects").slice(0, 6);
  const place = (r) => [r.topic, r.partition, r.offset].filter((x) => x != null).join(" / ");
  const row = (r) => h("li", { key: r.id ?? place(r) }, h("b", {}, words.plain(r.reason || r.code || "rejected")), ` ${r.sentence || r.message || r.detail || ""} `,
    h("small", { class: "muted" }, place(r), epoch(r.time_ms ?? r.time) != null ? [" · ", when(r.time_ms ?? r.time)] : null));
  return ["rejects", "Refused events", reasons.length ? pairs(reasons.map(([reason, n]) => [words.plain(reason), count(n)])) : h("p", { class: "muted" }, "This monitor has refused none."),
    latest.length ? [h("h4", {}, "Newest, of all monitors"), h("ul", { class: "examples" }, latest.map(row))] : null];
}

const DELIVERY = { sent: "delivered", done: "delivered", delivered: "delivered", pending: "waiting", failed: "given up", due: "waiting" };

function delivery(view) {
  const unsent = entries(view.service.outbox);
  const latest = list(view.alerts, "alerts").slice(0, 8);
  const state = (a) => (a.status || a.state ? DELIVERY[a.status || a.state] || words.plain(a.status || a.state) : a.done ? "delivered" : "waiting");
  const row = (a) => h("tr", { key: `${a.id}${a.destination ?? ""}` }, h("td", {}, when(a.time ?? a.time_ms ?? a.sent_ms ?? a.created_ms ?? a.due_ms)), h("th", { scope: "row" }, a.destination || a.webhook || DASH),
    h("td", {}, a.headline || a.kind || a.type || ""), h("td", { class: state(a) === "delivered" ? "wins" : "loses" }, state(a)), h("td", { class: "number" }, count(a.tries ?? a.attempts)));
  return ["delivery", "Alerts and delivery", unsent.length ? pairs(unsent.map(([to, n]) => [`unsent to ${to}`, count(n)])) : h("p", { class: "muted" }, "Nothing waits to be sent."),
    latest.length ? table(["when", "to", "what", "state", "tries"], latest.map(row)) : h("p", { class: "muted" }, "No alert has been sent yet.")];
}

function state({ m, service }) {
  return ["state", "State", pairs([["at event", count(m.event)], ["model version", m.model_version ?? DASH], ["service", service.version || DASH], ["up since", when(service.started_ms)]]),
    h("p", { class: "hash", title: "SHA-256 of the monitor's state at the last commit: a replay of the same events must show the same" }, m.state_sha256 || DASH)];
}
