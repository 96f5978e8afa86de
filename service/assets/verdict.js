// The first line and what happened: is the model all right, since when, what to do. Nothing here fetches.
import { DASH, clock, count, epoch, figure, grid, h, icon, percent, span, when } from "./dom.js";
import * as words from "./words.js";

const entries = (object) => Object.entries(object || {});

/** Matured and labelled predictions over all classes. */
export function coverage(m) {
  const classes = entries(m.coverage?.by_class);
  const sum = (key) => classes.reduce((all, [, c]) => all + (c[key] || 0), 0);
  return { classes, matured: sum("matured"), labelled: sum("labelled") };
}

/** Whose figures stand in the first card: the producer's newest version, else the champion. */
function subject(m) {
  const versions = entries(m.producer);
  const mine = versions.find(([v]) => v === m.model_version) || versions.at(-1);
  if (mine && mine[1].n) return ["your model", mine[1]];
  const champion = entries(m.learners).find(([, l]) => l.role === "champion");
  return champion ? ["the champion", champion[1]] : ["your model", {}];
}

/** What can be said now: while the service is away or not ready nobody knows, whatever it said last. */
export function verdictOf(view) {
  const said = view.m.verdict;
  const gone = view.lost || view.unready;
  if (!gone || gone.tries < 2) return said;
  return {
    answer: "cannot_tell", since_ms: gone.since_ms, wall: true,
    reason: `${gone.reason} The last word, at ${clock(gone.since_ms)}, was “${words.ANSWERS[said.answer] || said.answer}”.`,
    what_to_do: "See whether the process runs, and what /readyz says of each part. This page tries again by itself.",
  };
}

export function verdict(view) {
  const v = verdictOf(view);
  return [
    icon(v.answer, 64),
    h("div", "say", h("h1", "", words.headline(v.answer, view.name)), h("p", "since", since(v, view.m)),
      h("p", "", words.sentence(v.reason)), h("p", "", h("b", "", "What to do: "), words.sentence(v.what_to_do || "nothing"))),
    facts(view),
  ];
}

function since(v, m) {
  if (epoch(v.since_ms) == null) return "Since the start";
  const newest = v.wall ? Date.now() : epoch(m.watermark_ms);
  const long = newest > v.since_ms ? ` · for ${span(newest - v.since_ms)}${v.wall ? "" : " of the stream's time"}` : "";
  return ["Since ", when(v.since_ms), long];
}

function facts({ m }) {
  const [who, figures] = subject(m);
  const recent = figures.window || {};
  const labels = coverage(m);
  const open = openIncidents(m).length;
  const [term, key] = m.task === "regression" ? ["Mean abs. error", "mae"] : ["Accuracy", "accuracy"];
  const items = [
    [`${term}, ${who}`, figure(recent[key] ?? figures[key]), recent.n ? `last ${count(recent.n)} labels` : "no label yet"],
    ["Labels that came", percent(labels.labelled, labels.matured), `${count(labels.labelled)} of ${count(labels.matured)} due`],
    ["Open incidents", count(open), open ? "see below" : "nothing is open"],
    ["Predictions", count(m.counts?.predictions), `${count(m.counts?.labels)} labels`],
  ];
  return h("dl", "facts", items.map(([name, value, more]) => h("div", "", h("dt", "", name), h("dd", "", value), h("dd", "muted", more))));
}

/** Switches between monitors; each says its own answer. */
export function tabs(view) {
  return view.names.map((name) => {
    const answer = view.monitors[name].verdict?.answer || "cannot_tell";
    return h("a", { key: name, href: `#monitor=${encodeURIComponent(name)}`, "aria-current": name === view.name ? "page" : null },
      icon(answer, 18), h("span", "", name), h("span", "muted", words.ANSWERS[answer]));
  });
}

const CLOSED = new Set(["resolved", "retracted", "accepted"]);
const closed = (part) => CLOSED.has(part.status);
const SEVERITY = ["page", "ticket", "note"];
const graver = (a, b) => SEVERITY.indexOf(a.severity) - SEVERITY.indexOf(b.severity);

/** The newest record of each episode. */
function newest(drifts) {
  const found = new Map();
  for (const drift of drifts) {
    const known = found.get(drift.episode);
    if (!known || drift.seq >= known.seq) found.set(drift.episode, drift);
  }
  return [...found.values()];
}

/** One incident from the episodes that name it, for those that the monitor itself has already forgotten. */
function gather([id, drifts]) {
  const worst = [...drifts].sort(graver)[0];
  return {
    ...worst, id, drifts, status: drifts.every(closed) ? worst.status : "open", time_ms: epoch(worst.time),
    first_event: Math.min(...drifts.map((d) => d.event)), onset_low: Math.min(...drifts.map((d) => d.onset?.low ?? d.event)),
    onset_high: Math.max(...drifts.map((d) => d.onset?.high ?? d.event)), signals: [...new Set(drifts.map((d) => d.signal))],
  };
}

/** Every incident known, newest first, with its episodes: the monitor's own, then those in the drift records. */
export function incidents(m, drifts = []) {
  const groups = new Map();
  for (const drift of newest([...drifts, ...(m.open || [])])) groups.set(drift.incident, [...(groups.get(drift.incident) || []), drift]);
  const own = (m.incidents || []).map((incident) => ({ ...incident, drifts: groups.get(incident.id) || [] }));
  for (const { id } of own) groups.delete(id);
  return [...own, ...[...groups].map(gather)].sort((a, b) => b.first_event - a.first_event);
}

const openIncidents = (m, drifts) => incidents(m, drifts).filter((incident) => !closed(incident)).sort(graver);

export function happened({ m, drifts }) {
  const open = openIncidents(m, drifts);
  const earlier = incidents(m, drifts).filter(closed);
  const watching = m.phase === "watching";
  const calm = `Nothing is open: ${watching ? "every signal that is watched stays where it was" : words.phase(m)}.`;
  const more = open.slice(3).map(card);
  return [
    open.length ? open.slice(0, 3).map(card) : h("p", { class: "card quiet", key: "quiet" }, icon(watching ? "yes" : "cannot_tell", 20), calm),
    more.length ? h("details", { class: "card", key: "more" }, h("summary", "", `${more.length} more open`), h("div", "body", more)) : null,
    earlier.length ? past(earlier) : null,
  ];
}

const badge = (severity) => h("span", `badge ${severity}`, h("b", "", severity), ` ${words.SEVERITIES[severity] || ""}`);
const about = (kind) => words.KINDS[kind] || [words.plain(kind), "Look at the signals below."];

/** What happened, in words, with the first of the signals that showed it. */
export function titleOf(incident) {
  const names = incident.signals.map(words.signalName);
  return `${about(incident.kind)[0]}: ${names.slice(0, 2).join(", ")}${names.length > 2 ? ` and ${names.length - 2} more` : ""}`;
}

function card(incident) {
  const suspects = ranked(incident.drifts);
  const where = incident.drifts.flatMap((d) => d.where || []);
  return h("article", { class: `card incident ${incident.severity}`, key: incident.id },
    h("header", "", badge(incident.severity), h("span", "muted", when(incident.time_ms))),
    h("h3", "", titleOf(incident)),
    h("p", "", `It began at ${words.onset(incident.onset_low, incident.onset_high)} and was found at event ${count(incident.first_event)}.`),
    suspects.length ? h("p", "", h("b", "", "Suspects: "), suspects.map(([feature, score]) => `${feature} (${figure(score, 2)})`).join(", ")) : null,
    where.length ? h("p", "", h("b", "", "For inputs with: "), where.join(" and ")) : null,
    h("p", "", h("b", "", "What to do: "), about(incident.kind)[1]),
    evidence(incident));
}

function ranked(drifts) {
  const best = new Map();
  for (const { feature, score } of drifts.flatMap((d) => d.suspects || [])) best.set(feature, Math.max(score, best.get(feature) ?? -Infinity));
  return [...best].sort((a, b) => b[1] - a[1]).slice(0, 5);
}

/** What was seen: at once for what wakes somebody, else on demand. */
function evidence({ drifts, severity }) {
  if (!drifts.length) return null;
  const rows = [...drifts].sort((a, b) => a.event - b.event).map(episode);
  const columns = ["What moved", "Seen by", "Statistic against threshold", "Effect", "Began", "Found", "State"];
  return h("details", { key: severity, open: severity === "page" && rows.length < 9 }, h("summary", "", `What was seen: ${rows.length} alarm${rows.length === 1 ? "" : "s"}`), grid(columns, rows));
}

const between = (low, high) => `${count(low)} to ${count(high)}`;

function episode(drift) {
  const cells = [words.detectorName(drift.detector), words.against(drift), figure(drift.effect, 2), between(drift.onset?.low, drift.onset?.high), count(drift.event), ended(drift)];
  return h("tr", { key: drift.episode }, h("th", { scope: "row" }, words.moved(drift)), cells.map((cell) => h("td", "", cell)));
}

const ENDS = { resolved: "back to its reference", retracted: "not confirmed by later labels", revised: "revised by late labels", drift: "open" };
const ended = (part) => (part.resolution === "accepted" || part.status === "accepted" ? "accepted as the new normal" : ENDS[part.status] || words.plain(part.status || DASH));

function past(earlier) {
  const row = (i) => h("tr", { key: i.id }, h("td", "", when(i.time_ms)), h("th", { scope: "row" }, titleOf(i)),
    [badge(i.severity), between(i.onset_low, i.onset_high), ended(i.drifts[0] || i)].map((cell) => h("td", "", cell)));
  return h("details", { class: "card", key: "earlier" }, h("summary", "", `${earlier.length} earlier incident${earlier.length === 1 ? "" : "s"}, all over`),
    grid(["When", "What happened", "Severity", "Began at events", "How it ended"], earlier.map(row)));
}
