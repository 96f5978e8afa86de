// The first line and what happened: is the model all right, since when, what to do. Nothing here fetches.
import { DASH, clock, count, epoch, figure, h, icon, percent, span, when } from "./dom.js";
import * as words from "./words.js";

const entries = (object) => Object.entries(object || {});

/** Matured and labelled predictions over all classes. */
export function coverage(m) {
  const classes = entries(m.coverage?.by_class);
  const sum = (key) => classes.reduce((all, [, c]) => all + (c[key] || 0), 0);
  return { classes, matured: sum("matured"), labelled: sum("labelled") };
}

/** The producer's newest version, else the champion: whose figures stand in the first card. */
export function subject(m) {
  const versions = entries(m.producer);
  const mine = versions.find(([v]) => v === m.model_version) || versions.at(-1);
  if (mine && mine[1].n !== 0) return ["your model", mine[1]];
  const champion = entries(m.learners).find(([, l]) => l.role === "champion");
  return champion ? [`champion ${champion[0]}`, champion[1]] : ["your model", {}];
}

/** What can be said now: while the service is away nobody knows, whatever it said last. */
export function verdictOf(view) {
  const said = view.m?.verdict || { answer: "cannot_tell", reason: "No monitor has reported yet.", what_to_do: "Wait a moment, or look at /readyz." };
  if (!view.lost || view.lost.tries < 2) return said;
  return {
    answer: "cannot_tell", since_ms: view.lost.since_ms, wall: true,
    reason: `${view.lost.reason} The last word, at ${clock(view.lost.since_ms)}, was “${words.ANSWERS[said.answer] || said.answer}”.`,
    what_to_do: "See whether the process runs and its address is right. This page tries again by itself.",
  };
}

export function verdict(view) {
  const v = verdictOf(view);
  return [
    icon(v.answer, 64),
    h("div", { class: "say" },
      h("h1", {}, words.headline(v.answer, view.name)),
      h("p", { class: "reason" }, v.reason || "No reason was given."),
      h("p", { class: "todo" }, h("b", {}, "What to do: "), v.what_to_do || "nothing."),
      h("p", { class: "since muted" }, since(v, view.m))),
    facts(view),
  ];
}

function since(v, m) {
  if (epoch(v.since_ms) == null) return "Since the start";
  const newest = v.wall ? Date.now() : epoch(m?.watermark_ms);
  const long = newest != null && newest > v.since_ms ? ` · for ${span(newest - v.since_ms)}${v.wall ? "" : " of the stream's time"}` : "";
  return ["Since ", when(v.since_ms), long];
}

function facts({ m }) {
  const [who, figures] = subject(m);
  const recent = figures.window || {};
  const labels = coverage(m);
  const open = openIncidents(m).length;
  const regression = m.task === "regression";
  const about = recent.n ? `${who}, last ${count(recent.n)} labels` : who;
  const items = [
    [regression ? "Mean absolute error" : "Accuracy", figure(regression ? recent.mae ?? figures.mae : recent.accuracy ?? figures.accuracy), about],
    ["Labels that came", percent(labels.labelled, labels.matured), `${count(labels.labelled)} of ${count(labels.matured)} due`],
    ["Open incidents", count(open), open ? "see below" : "nothing is open"],
    ["Predictions", count(m.counts?.predictions), words.phase(m)],
  ];
  return h("dl", { class: "facts" }, items.map(([term, value, more]) =>
    h("div", {}, h("dt", {}, term), h("dd", {}, value), h("dd", { class: "muted", title: more }, more))));
}

/** Switches between monitors; each tab says its own answer. */
export function tabs(view) {
  return view.names.map((name) => {
    const answer = view.monitors[name].verdict?.answer || "cannot_tell";
    return h("a", { key: name, href: `#monitor=${encodeURIComponent(name)}`, "aria-current": name === view.name ? "page" : null, class: answer },
      icon(answer, 18), h("span", {}, name), h("span", { class: "muted" }, words.ANSWERS[answer]));
  });
}

const CLOSED = new Set(["resolved", "retracted", "closed", "accepted"]);
const closed = (part) => CLOSED.has(part.status);
const SEVERITY = { page: 0, ticket: 1, note: 2 };
const graver = (a, b) => (SEVERITY[a.severity] ?? 3) - (SEVERITY[b.severity] ?? 3);

/** The newest record of each episode. */
function newest(drifts) {
  const found = new Map();
  for (const drift of drifts) {
    const known = found.get(drift.episode ?? drift.id);
    if (!known || (drift.seq ?? 0) >= (known.seq ?? 0)) found.set(drift.episode ?? drift.id, drift);
  }
  return [...found.values()];
}

/** One incident from episodes that name it, for those that the monitor itself has already forgotten. */
function gather(id, drifts) {
  const worst = [...drifts].sort(graver)[0];
  const low = Math.min(...drifts.map((d) => d.onset?.low ?? d.event));
  const high = Math.max(...drifts.map((d) => d.onset?.high ?? d.event));
  const status = drifts.every(closed) ? worst.status : "open";
  return { id, status, severity: worst.severity, kind: worst.kind, onset_low: low, onset_high: high,
    first_event: Math.min(...drifts.map((d) => d.event)), time_ms: epoch(worst.time), signals: [...new Set(drifts.map((d) => d.signal))] };
}

/** Every incident known, with its episodes: the monitor's own, then those in the drift records. */
export function incidents(m, drifts) {
  const episodes = newest([...drifts, ...(m.open || [])]);
  const groups = new Map();
  for (const drift of episodes) {
    const id = drift.incident || drift.episode || drift.id;
    groups.set(id, [...(groups.get(id) || []), drift]);
  }
  const known = (m.incidents || []).map((incident) => ({ ...incident, drifts: groups.get(incident.id) || [] }));
  const ids = new Set(known.map((incident) => incident.id));
  const others = [...groups].filter(([id]) => !ids.has(id)).map(([id, group]) => ({ ...gather(id, group), drifts: group }));
  return [...known, ...others].sort((a, b) => (b.first_event ?? 0) - (a.first_event ?? 0));
}

export function openIncidents(m, drifts = []) {
  return incidents(m, drifts).filter((incident) => !closed(incident)).sort(graver);
}

export function happened(view) {
  const open = openIncidents(view.m, view.drifts);
  const earlier = incidents(view.m, view.drifts).filter(closed);
  const quiet = h("p", { class: "card quiet", key: "quiet" }, icon(view.m.phase === "watching" ? "yes" : "cannot_tell", 20),
    view.m.phase === "watching" ? "Nothing is open: every signal that is watched stays within its threshold." : `Nothing can be found yet: ${words.phase(view.m)}.`);
  return [open.length ? open.map((incident) => card(incident)) : quiet, earlier.length ? past(earlier) : null];
}

const badge = (severity) => h("span", { class: `badge ${severity}` }, h("b", {}, severity || "note"), ` ${words.SEVERITIES[severity] || ""}`);

const titleOf = (incident) => incident.headline || (words.KINDS[incident.kind] || [words.plain(incident.kind)])[0];

function card(incident) {
  const [meaning, advice] = words.KINDS[incident.kind] || [words.plain(incident.kind), "Look at the signals below."];
  const suspects = ranked(incident.drifts);
  return h("article", { class: `card incident ${incident.severity}`, key: incident.id },
    h("header", {}, badge(incident.severity), h("h3", {}, titleOf(incident)), h("span", { class: "muted" }, when(incident.time_ms))),
    h("p", {}, h("b", {}, `${meaning}. `), `It began at ${words.onset(incident.onset_low, incident.onset_high)} and was found at event ${count(incident.first_event)}.`),
    suspects.length ? h("p", {}, h("b", {}, "Suspects: "), suspects.map((s) => `${s.feature} (${figure(s.score, 2)})`).join(", ")) : null,
    h("p", {}, h("b", {}, "What to do: "), incident.what_to_do || advice),
    incident.drifts.length ? evidence(incident.drifts) : null);
}

function ranked(drifts) {
  const best = new Map();
  for (const s of drifts.flatMap((d) => d.suspects || [])) best.set(s.feature, Math.max(s.score, best.get(s.feature) ?? -Infinity));
  return [...best].map(([feature, score]) => ({ feature, score })).sort((a, b) => b.score - a.score).slice(0, 5);
}

function evidence(drifts) {
  const sorted = [...drifts].sort((a, b) => a.event - b.event);
  const rows = (part) => table(["What moved", "Seen by", "Statistic against threshold", "Effect", "Began", "Found", "State"], part.map(episode));
  return [rows(sorted.slice(0, 4)), sorted.length > 4 ? h("details", {}, h("summary", {}, `${sorted.length - 4} more of the same incident`), rows(sorted.slice(4))) : null];
}

function episode(drift) {
  return h("tr", { key: drift.episode ?? drift.id },
    h("th", { scope: "row" }, words.moved(drift)), h("td", {}, words.detectorName(drift.detector)), h("td", {}, words.against(drift)),
    h("td", {}, figure(drift.effect, 2)), h("td", {}, `${count(drift.onset?.low)} to ${count(drift.onset?.high)}`), h("td", {}, count(drift.event)), h("td", {}, ended(drift)));
}

const ENDS = { resolved: "back to its reference", retracted: "taken back: later labels did not confirm it", revised: "revised by late labels", drift: "open", warning: "warning" };
const ended = (part) => (part.resolution === "accepted" ? "accepted as the new normal" : ENDS[part.status] || words.plain(part.status || DASH));

function past(earlier) {
  const row = (incident) => h("tr", { key: incident.id },
    h("td", {}, when(incident.time_ms)), h("th", { scope: "row" }, titleOf(incident), h("small", { class: "muted" }, ` ${incident.signals.map(words.signalName).join(", ")}`)),
    h("td", {}, badge(incident.severity)), h("td", {}, `${count(incident.onset_low)} to ${count(incident.onset_high)}`), h("td", {}, ended(incident.drifts[0] || incident)));
  return h("details", { class: "card", key: "earlier" }, h("summary", {}, `${earlier.length} earlier incident${earlier.length === 1 ? "" : "s"}, all over`),
    table(["When", "What happened", "Severity", "Began at events", "How it ended"], earlier.map(row)));
}

/** A real table that scrolls sideways on a phone instead of breaking the page. */
export function table(columns, rows, caption) {
  return h("div", { class: "scroll" }, h("table", {}, caption ? h("caption", {}, caption) : null,
    h("thead", {}, h("tr", {}, columns.map((c) => h("th", { scope: "col" }, c)))), h("tbody", {}, rows)));
}
