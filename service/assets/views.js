// The lower sections: charts, signals, models, intake. Each turns the last answer of the service into elements.
import { lineChart, sparkline } from "./charts.js";
import { DASH, count, figure, grid, h, percent, span, when } from "./dom.js";
import { coverage, incidents, titleOf } from "./verdict.js";
import * as words from "./words.js";

const entries = (object) => Object.entries(object || {});
const ORDER = ["producer", "champion", "challenger", "probe", "no-change", "majority"];

/** One colour and dash for each model, the same in charts and in the table. */
function styleOf(who, m) {
  if (who.startsWith("producer")) return who === "producer" || who === `producer@${m.model_version}` ? "producer" : "producer old";
  if (who === "no_change") return "no-change";
  const role = m.learners?.[who]?.role;
  if (role === "baseline") return "majority";
  if (role !== "challenger") return role || "challenger";
  const challengers = Object.keys(m.learners).filter((name) => m.learners[name].role === role).sort();
  return `challenger c${challengers.indexOf(who) % 3}`;
}

function nameOf(who, m) {
  const role = m.learners?.[who]?.role;
  if (role === "baseline") return `${words.baseline(who)} (baseline)`;
  return role && role !== "challenger" ? `${who} (${words.ROLES[role] || role})` : words.model(who);
}

function scores(m, measure) {
  const mine = entries(m.series).filter(([key]) => key.startsWith(measure)).map(([key, points]) => [key.slice(measure.length), points]);
  return mine.map(([who, points]) => ({ who, name: nameOf(who, m), style: styleOf(who, m), points }))
    .sort((a, b) => ORDER.indexOf(a.style.split(" ")[0]) - ORDER.indexOf(b.style.split(" ")[0]));
}

function marks(m, drifts, lines) {
  const found = incidents(m, drifts).slice(0, 40).map((i) => ({
    event: i.first_event, low: i.onset_low, high: Math.max(i.onset_high, i.first_event), shade: [i.onset_low, i.onset_high],
    style: `${i.severity} ${i.status === "open" ? "now" : "over"}`, text: `${titleOf(i)}, found at event ${count(i.first_event)}`,
  }));
  const start = Math.min(...lines.map((line) => line.points[0]?.[0] ?? Infinity));
  const versions = lines.filter((line) => line.who.startsWith("producer@") && line.points[0]?.[0] > start).map(({ name, points: [[event]] }) => (
    { event, low: event, high: event, style: "version", text: `${name}: first scored at event ${count(event)}` }));
  return [...found, ...versions];
}

export function mainChart({ m, drifts }, width) {
  const regression = m.task === "regression";
  const lines = scores(m, regression ? "mae:" : "accuracy:");
  return lineChart({ id: "measure", title: `${regression ? "Mean absolute error" : "Accuracy"} over the last labels`, least: regression ? 0 : 0.1,
    limits: regression ? null : [0, 1], lines, marks: marks(m, drifts, lines), width, height: 300, nothing: "Nothing to draw yet: no label has met its prediction." });
}

/** How labels keep up: their delay where the service samples it, else how many predictions wait for theirs. */
function waiting({ series = {} }) {
  if (!series.label_delay) return { title: "Predictions waiting for their label", format: count, name: "waiting", points: series.pending || [] };
  return { title: "Delay of labels in hours", name: "delay", points: series.label_delay.map(([x, y]) => [x, y / 3600000]) };
}

export function sideCharts({ m }, width) {
  const { name, points, ...wait } = waiting(m);
  return [
    lineChart({ id: "coverage", title: "Labels that came, of those due", limits: [0, 1], least: 0.2, format: (x) => percent(x, 1), tick: (v) => `${Math.round(100 * v)} %`, height: 112,
      width, lines: [{ name: "covered", style: "champion", points: m.series?.coverage || [] }], nothing: "No prediction has reached the age at which it is judged." }),
    lineChart({ id: "waiting", ...wait, height: 112, width, lines: [{ name, style: "producer", points }], nothing: "No label has come yet." }),
  ];
}

const STATES = ["alarm", "open", "blind", "watching", "learning", "waiting"];
const PHASES = { blind: 2, watching: 3, learning_reference: 4, waiting: 5 };
const ratio = (d) => (d.threshold > 0 && Number.isFinite(d.statistic) ? d.statistic / d.threshold : null);

function tier(signal, open) {
  if (signal.detectors.some((d) => d.over)) return 0;
  return open.has(signal.name) ? 1 : PHASES[signal.phase] ?? 3;
}

/** Alarming signals first; inside a group by name, so that cards do not jump about with every figure. */
export function signals({ m, filter }) {
  const open = new Set((m.open || []).map((d) => d.signal));
  const all = (m.signals || []).map((s) => ({ ...s, tier: tier(s, open), title: words.signalName(s.name) }));
  const text = (s) => `${s.name} ${s.title} ${s.kind} ${STATES[s.tier]} ${s.detectors.map((d) => `${d.detector} ${words.detectorName(d.detector)}`).join(" ")}`.toLowerCase();
  const shown = all.filter((s) => text(s).includes(filter.toLowerCase()))
    .sort((a, b) => a.tier - b.tier || a.name.localeCompare(b.name, "en", { numeric: true }));
  const tally = [...STATES.keys()].map((at) => [all.filter((s) => s.tier === at).length, STATES[at]]).filter(([n]) => n);
  const none = h("li", { class: "muted", key: "" }, all.length ? "No signal matches the filter." : "No signal yet.");
  return { cards: shown.length ? shown.map((s) => signalCard(s, m)) : none, count: [...tally, [shown.length, "shown"]].map((part) => part.join(" ")).join(" · ") };
}

function signalCard(signal, m) {
  const read = signal.detectors.map((d) => ({ ...d, ratio: ratio(d), name: words.detectorName(d.detector) }))
    .map((d) => ({ ...d, style: `det ${d.detector}${d.over ? " over" : ""}${d.ratio >= 1 ? " above" : ""}` }));
  const label = `${signal.title}: ${read.map((d) => `${d.name} at ${figure(d.ratio, 2)} of its threshold${d.over ? ", alarm" : ""}`).join("; ") || "no detector"}`;
  const lines = read.map((d) => ({ style: d.style, points: m.series?.[`statistic:${signal.name}/${d.detector}`] || (d.ratio == null ? [] : [[0, d.ratio], [1, d.ratio]]) }));
  const state = STATES[signal.tier];
  return h("li", { class: `signal ${state}`, key: signal.name },
    h("div", "head", h("h3", { title: signal.name }, signal.title), h("span", "chip", state === "watching" ? signal.kind : state)),
    signal.phase === "watching" ? sparkline(lines, label) : h("p", "spark muted", words.phase(signal)),
    h("p", "ratios", read.map((d) => h("span", { class: d.style, title: `${d.name}: ${words.against(d)}` }, h("i", "swatch"), `${words.plain(d.detector)} `, h("b", "", figure(d.ratio, 2))))));
}

const CLASSIFICATION = ["accuracy", "kappa", "kappa_temporal", "f1", "log_loss"];
const REGRESSION = ["mae", "rmse"];
const SMALL = new Set(["log_loss", "mae", "rmse"]);
const ROLE_ORDER = ["producer", "champion", "challenger", "probe", "baseline"];

function contenders(m) {
  const mine = entries(m.producer).map(([version, x]) => ({ who: version ? `producer@${version}` : "producer", ...x, role: "producer" }));
  const others = entries(m.learners).map(([who, x]) => ({ who, ...x }));
  return [...mine, ...others].sort((a, b) => ROLE_ORDER.indexOf(a.role) - ROLE_ORDER.indexOf(b.role));
}

/** The best baseline that beats `row`, or null; `of` picks the figures over the window or over all. */
function beatenBy(row, rows, metric, of) {
  const gain = (r) => (SMALL.has(metric) ? -1 : 1) * of(r)?.[metric];
  const same = (r) => of(r)?.n === of(row)?.n; // of other predictions it says nothing
  return rows.filter((r) => r.role === "baseline" && same(r) && gain(r) > gain(row)).sort((a, b) => gain(b) - gain(a))[0] || null;
}

/** Honest means: shown beside the model that loses. */
function standing(row, rows, metric) {
  if (row.role === "baseline") return h("td", "muted", "to be beaten");
  const [now, ever] = [beatenBy(row, rows, metric, (r) => r.window), beatenBy(row, rows, metric, (r) => r)];
  if (row.loses_to?.length) return h("td", "loses", `does not beat ${row.loses_to.map(words.baseline).join(", nor ")}`);
  const also = ever === now ? ", and over all" : ever ? `, ${words.baseline(ever.who)} over all` : "";
  if (now) return h("td", "loses", `${words.baseline(now.who)} wins here${also}`);
  if (ever) return h("td", "loses", `${words.baseline(ever.who)} wins over all`);
  const known = Number.isFinite(row[metric]) && rows.some((r) => r.role === "baseline");
  return h("td", known ? "wins" : "muted", known ? "beats every baseline" : "nothing to compare yet");
}

const score = (x) => figure(Math.abs(x) < 5e-4 ? 0 : x);
const best = (values, metric) => Math[SMALL.has(metric) ? "min" : "max"](...values.filter(Number.isFinite));
const number = (x) => h("td", "number", count(x));

function model(row, rows, metrics, m) {
  const part = (of) => metrics.map((key) => h("td", `number${of(row)?.[key] === best(rows.map((r) => of(r)?.[key]), key) ? " best" : ""}`, score(of(row)?.[key])));
  const notes = [row.role === "producer" ? "" : words.ROLES[row.role] || row.role, row.replacements ? `replaced ${count(row.replacements)} ×` : "", row.failures ? `failed ${count(row.failures)} ×, last: ${row.last_failure}` : ""];
  return h("tr", { key: `${row.role}:${row.who}`, class: row.role },
    h("th", { scope: "row" }, h("i", `swatch ${styleOf(row.who, m)}`), row.role === "baseline" ? words.baseline(row.who) : words.model(row.who), h("small", "muted", ` ${notes.filter(Boolean).join(" · ")}`)),
    standing(row, rows, metrics[0]), part((r) => r.window), part((r) => r), number(row.n));
}

export function learners({ m }) {
  const rows = contenders(m);
  if (!rows.length) return h("p", "card muted", "No model has been scored yet: the first labels have not arrived.");
  const metrics = m.task === "regression" ? REGRESSION : CLASSIFICATION;
  const recent = Math.max(0, ...rows.map((r) => r.window?.n || 0));
  const group = (title) => h("th", { scope: "colgroup", colspan: metrics.length }, title);
  const names = metrics.map(words.plain);
  return h("div", "card scroll", h("table", "models",
    h("caption", "unseen", "Your model, learners and baselines, each scored before it learnt the label"),
    h("thead", "", h("tr", "", h("td"), h("td"), group(recent ? `Last ${count(recent)} labels` : "Last labels"), group("Since the start"), h("td")),
      h("tr", "", ["Who", "Against the baselines", ...names, ...names, "labels"].map((c, i) => h("th", { scope: "col", class: i > 1 ? "number" : null }, c)))),
    h("tbody", "", rows.map((row) => model(row, rows, metrics, m)))));
}

/** Where events come from, what was refused, what goes out; each part a card. */
export function intake(view) {
  const parts = { Events: flow, Labels: labels, "Refused events": rejects, Alerts: delivery, State: state };
  return entries(parts).map(([title, part]) => h("div", { class: `card ${part.name}`, key: title }, h("h3", "", title), part(view)));
}

const pairs = (items) => h("dl", "pairs", items.map(([term, value, title]) => h("div", { title }, h("dt", "", term), h("dd", "", value))));

function flow({ service }) {
  const partitions = entries(service.partitions);
  const commit = service.commit || {};
  const row = ([id, p]) => h("tr", { key: id }, h("th", { scope: "row" }, id), [p.position, p.end, p.lag].map(number));
  return [pairs([
    ["per second", figure(service.events_per_second, 1)], ["lag", count(partitions.reduce((all, [, p]) => all + p.lag, 0)), "events in the log that are not folded yet"],
    ["in all", count(service.events_total)], ["transport", service.transport || DASH],
    ["commits", count(commit.count)], ["last commit took", Number.isFinite(commit.last_seconds) ? span(commit.last_seconds * 1000) : DASH],
  ]), grid(["partition", "#position", "#end", "#lag"], partitions.map(row))];
}

/** Far from the coverage of all: what is labelled is a selection. */
const uneven = (x, all) => x.matured > 30 && Math.abs(x.labelled / x.matured - all.labelled / all.matured) > 0.1;

function labels({ m }) {
  const all = coverage(m);
  const kept = m.bounds?.pending;
  const row = ([name, x]) => h("tr", { key: name }, h("th", { scope: "row" }, name), number(x.labelled), number(x.matured), h("td", `number${uneven(x, all) ? " loses" : ""}`, percent(x.labelled, x.matured)));
  return [
    pairs([["pending", count(m.counts?.pending), "predictions waiting for their label"], ["judged at age", span(m.age_ms), "the fixed age at which a prediction enters the error detectors"],
      ...entries(words.COUNTS).filter(([key]) => m.counts?.[key] != null).map(([key, title]) => [words.plain(key), count(m.counts[key]), title])]),
    kept ? h("p", "muted", `${count(kept.value)} predictions kept for labels and corrections, cap ${count(kept.cap)}`) : null,
    kept ? h("meter", { min: 0, max: kept.cap, high: 0.8 * kept.cap, value: kept.value, "aria-label": "Predictions kept, against their cap" }) : null,
    all.classes.length ? grid(["predicted", "#labelled", "#due", "#covered"], all.classes.slice(0, 12).map(row)) : null,
    all.classes.some(([, x]) => uneven(x, all)) ? h("p", "loses", "Labels come unevenly by predicted class: the figures are of a selected part.") : null,
  ];
}

function rejects(view) {
  const place = (r) => `${r.topic} / ${r.partition} / ${r.offset}`;
  const row = (r) => h("li", { key: place(r) }, h("b", "", words.plain(r.reason)), ` ${words.sentence(r.detail)} `, h("small", "muted", place(r), " · ", when(r.time_ms)));
  const reasons = entries(view.rejects.by_reason).sort((a, b) => b[1] - a[1]);
  if (!reasons.length) return h("p", "muted", view.rejects.by_reason ? "None: every event could be read." : "Not known.");
  return [pairs(reasons.map(([reason, n]) => [words.plain(reason), count(n)])), h("ul", "examples", view.rejects.rejects.slice(0, 6).map(row))];
}

function delivery(view) {
  const row = (a) => h("tr", { key: `${a.id}${a.destination}` }, h("td", "", when(a.time_ms)), h("th", { scope: "row" }, a.destination),
    h("td", { class: a.status === "done" ? "wins" : "loses", title: a.detail }, a.status === "done" ? "delivered" : words.plain(a.status)), number(a.tries));
  const ends = entries(view.alerts.endpoints).map(([name, e]) => [`webhook ${name}`, `${count(e.sent)} sent, ${e.disabled ? "disabled" : `${count(e.retrying)} waiting`}`, e.last_error]);
  const unsent = entries(view.service.outbox).map(([to, n]) => [`unsent to ${to}`, count(n)]);
  const latest = view.alerts.alerts || [];
  return [ends.length + unsent.length ? pairs([...ends, ...unsent]) : h("p", "muted", "No webhook is configured and nothing waits to be sent."),
    latest.length ? grid(["when", "to", "state", "#tries"], latest.slice(0, 8).map(row)) : null];
}

function state({ m, service }) {
  return [pairs([["at event", count(m.event)], ["newest event", when(m.watermark_ms)], ["model version", m.model_version || DASH], ["up since", when(service.started_ms)]]),
    h("p", { class: "hash", title: "SHA-256 of the monitor's state at the last commit: a replay of the same events shows the same" }, m.state_sha256 || DASH)];
}
