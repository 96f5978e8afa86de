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
  data: ["The inputs changed", "See at the source of these features whether a unit, a sensor or a sender changed. If the change is meant, accept a new reference."],
  prediction: ["What the model answers changed", "Compare with the inputs below: if they did not move, look at the model's version and its deployment."],
  performance: ["The model is wrong more often, or differently, than before", "Compare the model with the champion below; roll back the version or switch, then retrain on events after the onset."],
  concept: ["The inputs and the label no longer belong together as before", "Retrain on labels after the onset. Learners here adapt by themselves: see below which one now does best."],
  quality: ["The quality of the stream changed", "Ask who sends these events: missing values, unseen categories, rejects or late labels point to the sender, not to the model."],
};

const DETECTORS = {
  adwin: "ADWIN", page_hinkley: "Page-Hinkley", ks: "Kolmogorov-Smirnov", cvm: "Cramér-von Mises", energy: "energy distance",
};

export const detectorName = (name) => DETECTORS[name] || String(name ?? "");

const ERRORS = { producer: "your model", champion: "the champion", probe: "the frozen probe" };
const SIGNALS = {
  joint: "all features together", score: "the model's score", margin: "the margin between its two best classes",
  delay: "the delay of labels", label_delay: "the delay of labels", missing: "missing values", unseen: "unseen categories",
};

/** `feature:amount` → feature amount */
export function signalName(signal) {
  const text = String(signal ?? "");
  const cut = text.indexOf(":");
  if (cut < 0) return SIGNALS[text] || text;
  const [head, tail] = [text.slice(0, cut), text.slice(cut + 1)];
  if (head === "error") return `error of ${ERRORS[tail] || tail.replace(/^producer:/, "your model, version ")}`;
  if (head === "missing" || head === "unseen") return `${SIGNALS[head]} of ${tail}`;
  return `${head.replaceAll("_", " ")} ${tail}`;
}

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
  if (part.phase === "watching") return part.phase_detail || "watching";
  if (part.phase === "learning_reference") {
    const left = part.events_left;
    return left == null ? part.phase_detail || "learning its reference" : `learning its reference, ${count(left)} event${left === 1 ? "" : "s"} left`;
  }
  if (part.phase === "blind") return `blind: ${part.phase_detail || "no reason given"}`;
  return part.phase_detail || "waiting for its first event";
}

export const ROLES = { champion: "champion", challenger: "challenger", baseline: "baseline", probe: "frozen probe", producer: "your model" };

const BASELINES = { no_change: "the last label", majority: "the most frequent label", mean: "the mean label" };

/** What a baseline always answers, for the mark where it wins. */
export const baseline = (name) => BASELINES[name] || name;

/** A reason code or counter as words. */
export const plain = (code) => String(code).replaceAll("_", " ");

export const COUNTS = {
  predictions: "predictions taken in", labels: "labels taken in", joined: "labels that met their prediction",
  pending: "predictions still waiting for their label", late: "labels that came too late", duplicates: "events seen twice, counted once",
  corrections: "second labels for an id", early: "labels waiting for their prediction", orphans: "labels whose prediction never came",
  evicted: "predictions given up because the cap was reached", unlabelled: "predictions judged without a label",
  unknown_features: "feature names that the schema does not know",
};
