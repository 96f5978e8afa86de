// Parts of the whole: figures by segment, answers for review, and whether the members agree.
import { DASH, count, figure, grid, h, percent } from "./dom.js";
import * as words from "./words.js";

const entries = (object) => Object.entries(object || {});
const MOST = 150;
const CLASSIFICATION = ["accuracy", "kappa", "kappa_temporal", "f1", "log_loss"];
const REGRESSION = ["mae", "rmse"];

/** Below the same model's accuracy over everything by more than three standard errors. */
function falls(own, whole) {
  const [p, n, all] = [own.window?.accuracy, own.window?.n, whole?.window?.accuracy];
  return n > 30 && all - p > 3 * Math.sqrt((all * (1 - all)) / n);
}

function models(segment, m) {
  const versions = entries(segment.producer).map(([v, x]) => [words.model(v ? `producer@${v}` : "producer"), x, m.producer?.[v]]);
  const champion = segment.champion ? [[segment.champion.name, segment.champion]] : [];
  const learners = [...champion, ...entries(segment.challengers)].map(([who, x]) => [who, x, m.learners?.[who]]);
  const all = [...versions, ...learners];
  return all.length ? all : [[DASH, {}, {}]];
}

const number = (x, mark = "") => h("td", `number${mark}`, x);

/** One row for each model in each segment; what is clearly worse there than over everything is marked. */
export function segments({ m }) {
  const metrics = m.task === "regression" ? REGRESSION : CLASSIFICATION;
  const names = Object.keys(m.segments || {}).sort((a, b) => (a === "other") - (b === "other") || a.localeCompare(b, "en", { numeric: true }));
  const rows = names.flatMap((name) => models(m.segments[name], m).map(([who, x, whole]) => h("tr", { key: JSON.stringify([name, who]) },
    h("th", { scope: "row" }, name), h("td", "", who), metrics.map((key) => number(figure(x.window?.[key]), key === "accuracy" && falls(x, whole) ? " loses" : "")),
    number(figure(x[metrics[0]])), number(count(x.n)), number(percent(m.segments[name].coverage.labelled, m.segments[name].coverage.matured)))));
  const columns = ["segment", "who", ...metrics.map((key) => `#${words.plain(key)}`), `#${words.plain(metrics[0])}, all`, "#labels", "#covered"];
  const more = rows.length > MOST ? h("p", "muted", `${count(rows.length - MOST)} more rows: v1/monitors has them all.`) : null;
  return [grid(columns, rows.slice(0, MOST)), more];
}

const share = (x) => percent(x, 1);
const MEANS = {
  instability: ["loses", ", while no feature drifts: this is instability of the learners, not drift"],
  drift: ["loses", ", while features drift: settle that before you call them unstable"],
};

function agreement({ agreement: a }) {
  if (!a?.says) return null;
  const [style, meaning] = MEANS[a.says] || ["muted", ""];
  const parts = [a.between == null ? "" : `the learners disagree with the champion on ${share(a.between)} of the newest answers`,
    a.within == null ? "" : `its own parts disagree with the champion on ${share(a.within)}`];
  return h("p", { class: style, key: "agreement" }, words.sentence(parts.filter(Boolean).join(", ") + meaning));
}

function review({ review: r }) {
  if (!r) return null;
  const rule = r.margin == null ? `spread above ${figure(r.spread)}` : `margin below ${figure(r.margin)}`;
  const whose = r.of === "producer" ? "your model's answers" : "the champion's answers";
  return h("p", { class: "muted", key: "review" }, `For review (${rule}): ${r.window.share == null ? DASH : share(r.window.share)} of the newest ${count(r.window.n)} of ${whose}; ${count(r.review)} of ${count(r.auto + r.review)} in all.`);
}

/** What belongs under the table of models. */
function contest({ promotion: p }) {
  const told = Object.entries(p?.challengers || {}).filter(([, x]) => x.n).map(([name, x]) => {
    const range = `${(100 * x.low).toFixed(1)} to ${(100 * x.high).toFixed(1)} points`;
    const verdict = x.low > 0 ? "better than the champion" : x.high < 0 ? "worse than the champion" : "not told apart from the champion";
    return `${name} is ${verdict} (${range}, ${x.n} labels)`;
  });
  return told.length ? h("p", { class: "muted", key: "contest" }, words.sentence(told.join("; "))) : null;
}

function canary({ canary: c }) {
  if (!c || c.disagreement === null) return null;
  const text = `the canary (${c.model}) says something else on ${(100 * c.disagreement).toFixed(1)} % of the last ${c.n} predictions; that is disagreement, no error`;
  return h("p", { class: "muted", key: "canary" }, words.sentence(text));
}

export const notes = ({ m }) => [agreement(m), review(m), contest(m), canary(m)];
