/** The page: takes a drawing or a picture, asks the chosen engine, shows the answer. */

import { showAnswer, showNothing } from "./answer.js";
import { engineFor } from "./engines.js";
import { model } from "./model.js";
import { Paper } from "./paper.js";
import { isReadAsDrawing, prepare } from "./picture.js";
import { selfCheck } from "./selfcheck.js";

const find = (selector) => document.querySelector(selector);
const isDark = model.background === "dark";
const colours = { paper: isDark ? "#000" : "#fff", ink: isDark ? "#fff" : "#000" };
// Photos have no common background: nothing that a pen draws looks as they do.
const paper = new Paper(find("#paper"), model, model.background === "mixed" ? null : colours);
const golden = new URL(
  new URLSearchParams(location.search).get("golden") ?? "../../golden/",
  location.href,
);

let isAsked = false;
let isAnswering = false;
let isFinished = true;

function chosenFormat() {
  return find("input[name=engine]:checked").value;
}

function showError(error) {
  find("#error").textContent = error?.message ?? "";
  find("#error").hidden = !error;
}

/** Answers what is on the paper now; while it works, later calls wait as one. */
async function answer(finished = true) {
  isAsked = true;
  isFinished = finished;
  if (isAnswering) return;
  isAnswering = true;
  find("main").setAttribute("aria-busy", "true");
  while (isAsked) {
    isAsked = false;
    await answerOnce().catch(showError);
    await new Promise(requestAnimationFrame);
  }
  isAnswering = false;
  find("main").removeAttribute("aria-busy");
}

async function answerOnce() {
  const format = chosenFormat();
  const run = await start(format);
  if (paper.isEmpty) {
    showSeen(null, "");
    showNothing();
    return;
  }
  const { pixels, readAs } = prepare(paper.read(), model, paper.isDrawing ? drawn() : "auto");
  const begin = performance.now();
  const probabilities = await run(Float32Array.from(pixels));
  const milliseconds = performance.now() - begin;
  if (format !== chosenFormat()) return;
  showSeen(pixels, paper.isDrawing ? "" : caption(readAs));
  showAnswer(probabilities, isFinished);
  find("#time").textContent = `${milliseconds.toFixed(1)} ms an answer`;
}

function caption(readAs) {
  if (isReadAsDrawing(model)) return `Read as ${readAs}`;
  return readAs[0].toUpperCase() + readAs.slice(1);
}

/** What surrounds a drawing; the pen may cross the border, so it is not to be guessed. */
function drawn() {
  return isDark ? "dark" : "light";
}

async function start(format) {
  const time = find("#time");
  const isNew = time.dataset.format !== format;
  if (isNew) time.textContent = "starting …";
  try {
    const run = await engineFor(format);
    if (isNew) time.textContent = "ready";
    time.dataset.format = format;
    showError(null);
    return run;
  } catch (error) {
    time.textContent = "not running";
    time.dataset.format = "";
    showNothing();
    throw error;
  }
}

/** Shows the pixels that the model gets, which explain many a wrong answer. */
function showSeen(pixels, caption) {
  const seen = find("#seen").getContext("2d");
  find("#reading").textContent = caption;
  seen.clearRect(0, 0, model.width, model.height);
  if (!pixels) return;
  const image = seen.createImageData(model.width, model.height);
  for (let i = 0; i < model.width * model.height; i++) {
    for (let c = 0; c < 3; c++) {
      image.data[4 * i + c] = pixels[i * model.channels + (c % model.channels)];
    }
    image.data[4 * i + 3] = 255;
  }
  seen.putImageData(image, 0, 0);
}

async function open(file) {
  if (!file) return;
  try {
    paper.show(await createImageBitmap(file));
  } catch {
    showError(new Error(`${file.name} cannot be read as a picture. PNG and JPEG always can.`));
  }
}

async function runSelfCheck() {
  const [button, result] = [find("#check"), find("#check-result")];
  button.disabled = true;
  result.textContent = "Checking …";
  result.dataset.state = "";
  try {
    const format = chosenFormat();
    const { count, agree, largest } = await selfCheck(golden, format, await engineFor(format));
    result.textContent = `${agree} of ${count} agree, largest difference ${brief(largest)}`;
    result.dataset.state = agree === count ? "good" : "bad";
  } catch (error) {
    result.textContent = error.message;
    result.dataset.state = "bad";
  }
  button.disabled = false;
}

function brief(number) {
  return number === 0 ? "0" : number.toExponential(0);
}

function listenForPictures() {
  const chooser = find("#file");
  find("#choose").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    open(chooser.files[0]);
    chooser.value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      document.body.classList.add("dropping");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    open(event.dataTransfer.files[0]);
  });
}

function listen() {
  paper.addEventListener("change", ({ detail }) => {
    for (const button of ["#undo", "#clear"]) find(button).disabled = paper.isEmpty;
    find(".sheet").classList.toggle("empty", paper.isEmpty);
    answer(detail.finished);
  });
  find("#undo").addEventListener("click", () => paper.undo());
  find("#clear").addEventListener("click", () => paper.clear());
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") paper.undo();
  });
  find("#check").addEventListener("click", runSelfCheck);
  find("#engine").addEventListener("change", () => {
    find("#check-result").textContent = "";
    answer();
  });
  listenForPictures();
}

showNothing();
listen();
answer();
