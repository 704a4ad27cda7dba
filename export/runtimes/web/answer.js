/** Shows probabilities: the likeliest label, and bars. */

import { model } from "./model.js";

const MOST_IN_ORDER = 12; // so many classes keep their places; of more, the likeliest are shown
const MOST_SHOWN = 10;
const MOST_LARGE = 4; // letters of a label that is set large

const bars = document.querySelector("#bars");
const best = document.querySelector("#best");
const bestProbability = document.querySelector("#best-probability");
const spoken = document.querySelector("#spoken");

const count = Math.min(model.labels.length, MOST_SHOWN);
const isInOrder = model.labels.length <= MOST_IN_ORDER;
const rows = Array.from({ length: isInOrder ? model.labels.length : count }, addRow);

function addRow() {
  const row = document.querySelector("#bar").content.cloneNode(true).firstElementChild;
  bars.append(row);
  return row;
}

/** Shows nothing but the labels. */
export function showNothing() {
  best.textContent = "–";
  best.className = "none";
  bestProbability.textContent = "";
  spoken.textContent = "";
  rows.forEach((row, i) => fill(row, isInOrder ? model.labels[i] : "", null, false));
}

/**
 * @param {Float32Array} probabilities in the order of the labels
 * @param {boolean} finished false while more is to come at once: then nothing is read aloud
 */
export function showAnswer(probabilities, finished) {
  const order = Array.from(probabilities.keys());
  const likeliest = order.toSorted((a, b) => probabilities[b] - probabilities[a]);
  const [first] = likeliest;
  const shown = isInOrder ? order : likeliest;
  rows.forEach((row, i) => {
    fill(row, model.labels[shown[i]], probabilities[shown[i]], shown[i] === first);
  });
  best.textContent = model.labels[first];
  best.className = model.labels[first].length > MOST_LARGE ? "long" : "";
  bestProbability.textContent = percent(probabilities[first]);
  if (finished) spoken.textContent = `${model.labels[first]}, ${percent(probabilities[first])}`;
}

function fill(row, label, probability, isBest) {
  const name = row.querySelector(".label");
  name.textContent = name.title = label;
  row.style.setProperty("--share", probability ?? 0);
  row.querySelector(".share").textContent = probability === null ? "" : percent(probability);
  row.classList.toggle("best", isBest);
}

/** Rounded, but never to all or nothing. */
function percent(probability) {
  if (probability > 0 && probability < 0.001) return "< 0.1 %";
  if (probability < 1 && probability > 0.999) return "> 99.9 %";
  return `${(100 * probability).toFixed(1)} %`;
}
