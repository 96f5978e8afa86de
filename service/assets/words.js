// Says what the service reports in plain words: one place for every sentence that a reader at 3 a.m. depends on.
import { count, figure } from "./dom.js";

export const ANSWERS = { yes: "Yes", no: "No", cannot_tell: "Cannot tell" };

export const RANK = { no: 0, cannot_tell: 1, yes: 2 };

export const headline = (answer, name) => ({
  yes: `Yes, ${name} is all right`,
  no: `No, ${name} is not all right`,
}[answer] || `Cannot tell whether ${name} is all right`);

export const SEVERITIES = {
  page: "wakes somebody", ticket: "for the working day", note: "for the record",
};

export const KINDS = {
  data: ["The inputs changed", "See at their source whether a unit or a sender changed. If that is meant, accept a new reference."],
  prediction: ["What the model answers changed", "If the inputs did not move as well, look at the model's version and its deployment."],
  performance: ["The model errs in another way than before", "Compare it with the champion below; roll back or switch, then retrain on events after the onset."],
  concept: ["The inputs and the label no longer belong together as before", "Retrain on labels after the onset; see below which learner has adapted best."],
  quality: ["The quality of the stream changed", "Ask who sends these events: this points to the sender, not to the model."],
};

// Those whose name is no acronym.
const DETECTORS = {
  page_hinkley: "Page-Hinkley", ks: "Kolmogorov-Smirnov", cvm: "Cramér-von Mises", energy: "energy distance",
  anderson_darling: "Anderson-Darling", wasserstein: "Wasserstein", jensen_shannon: "Jensen-Shannon", chi_square: "chi-square",
  g_test: "G test", ewma_chart: "EWMA chart", shewhart: "Shewhart chart", e_detector: "e-detector", rate: "rate",
  sliced_energy: "sliced energy distance", domain_classifier: "domain classifier", context: "tree over time",
};

export const detectorName = (name) => DETECTORS[name] || String(name ?? "").toUpperCase().replace("_", "-");

const ERRORS = { producer: "your model", champion: "the champion", probe: "the frozen probe" };
const SIGNALS = {
  joint: "all features together", prediction: "predicted classes", score: "score of the model", margin: "margin of the two best classes",
  delay: "delay of labels", context: "relation of inputs and label", missing: "missing values", review: "answers for review", unseen: "unseen categories",
};

/** `feature:amount` → amount, `error:producer@7` → error of your model (version 7) */
export function signalName(signal) {
  const text = String(signal ?? "");
  const cut = text.indexOf(":");
  if (cut < 0) return SIGNALS[text] || text;
  const [head, tail] = [text.slice(0, cut), text.slice(cut + 1)];
  if (head === "error") return `error of ${whose(tail)}`;
  return head === "feature" ? tail : `${SIGNALS[head] || plain(head)} of ${tail}`;
}

/** `producer/fraud@7` → your model (version 7) on fraud */
function whose(tail) {
  const parts = /^([^/@]+)\/([^@]*)(@.*)?$/.exec(tail);
  const name = parts ? parts[1] + (parts[3] || "") : tail;
  return (ERRORS[name] || model(name)) + (parts ? ` on ${decodeURIComponent(parts[2])}` : "");
}

/** `producer@7` → your model (version 7) */
export const model = (name) => (name === "producer" ? "your model" : name.replace(/^producer@(.*)$/, "your model (version $1)"));

const DIRECTIONS = { up: "rose", down: "fell", both: "changed" };

/** What moved, in one clause. */
export const moved = (drift) => `${signalName(drift.signal)} ${DIRECTIONS[drift.direction] || "changed"}`;

/** Between which events it began. */
export function onset(low, high) {
  if (low == null && high == null) return "an unknown event";
  return low === high || high == null || low == null ? `event ${count(low ?? high)}` : `an event between ${count(low)} and ${count(high)}`;
}

export const against = (drift) => `${figure(drift.statistic, 2)} against ${figure(drift.threshold, 2)}`;

/** The phase of a monitor or signal, with what it waits for. */
export function phase(part) {
  const detail = part.phase_detail || "";
  if (part.phase === "blind") return `blind: ${detail || "no reason given"}`;
  if (part.phase !== "learning_reference") return detail || (part.phase === "watching" ? "watching" : "waiting for its first event");
  if (part.events_left > 0) return `learning its reference, ${count(part.events_left)} event${part.events_left === 1 ? "" : "s"} left`;
  return detail.startsWith("learning") ? detail : `learning its reference${detail ? `, ${detail}` : ""}`;
}

/** A service's clause as a sentence. */
export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");

export const ROLES = { probe: "frozen probe" };

const BASELINES = { no_change: "the last label", majority: "the most frequent label", mean: "the mean label" };

/** What a baseline always answers, for the mark where it wins. */
export const baseline = (name) => BASELINES[name] || name;

/** A reason code or counter as words. */
export const plain = (code) => String(code).replaceAll("_", " ");

export const COUNTS = {
  joined: "labels with their prediction", unlabelled: "predictions judged without a label", late: "labels outside the correction window",
  too_late: "labels after their time-out", early: "labels waiting for their prediction", orphans: "labels whose prediction never came",
  corrections: "second labels for an id", duplicates: "labels seen twice", duplicate_predictions: "predictions seen twice",
  evicted: "predictions given up at the cap", unknown_features: "features not in the schema",
  held_times: "event times that jump too far",
};
