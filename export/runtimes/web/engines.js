/** The engines: each runs the files of its kind, and turns one image into probabilities. */

import { channelsFirst } from "./layout.js";
import { model } from "./model.js";

const SHAPE = [1, model.height, model.width, model.channels];
const CHANNELS_FIRST = [1, model.channels, model.height, model.width];
const INSTALL = "Run `npm ci --ignore-scripts` in runtimes/web, then reload the page.";

/** By the ending of the files that they run. */
const ENGINES = {
  onnx: { packageName: "onnxruntime-web", load: loadOnnxRuntime },
  tflite: { packageName: "@litertjs/core", load: loadLiteRt },
};
const ARRAYS = { float32: Float32Array, uint8: Uint8Array, int8: Int8Array };

const started = new Map();

/**
 * Gives what runs a format. It is started by the first call; one that failed stays so until the
 * page is loaded again, for a runtime that is half started cannot be started twice.
 *
 * @returns {Promise<(pixels: Float32Array) => Promise<Float32Array>>} one image at a time
 */
export function engineFor(format) {
  if (!started.has(format)) started.set(format, start(format));
  return started.get(format);
}

async function start(format) {
  const { file, input, output } = model.formats[format];
  const { packageName, load } = ENGINES[file.split(".").at(-1)];
  const bytes = await download(new URL(`../../${file}`, import.meta.url));
  const runStored = await load(bytes, input).catch((cause) => {
    const reason = `${packageName} did not start: ${cause.message ?? cause}.`;
    throw new Error(`${reason} If it is not installed: ${INSTALL}`, { cause });
  });
  const run = async (pixels) => decoded(await runStored(encoded(pixels, input)), output);
  await run(new Float32Array(model.height * model.width * model.channels));
  return oneAtATime(run);
}

/** An image's numbers as a file takes them: those of `type.scale` are whole multiples of it. */
function encoded(pixels, type) {
  const numbers = type.layout === "NCHW" ? channelsFirst(pixels) : pixels;
  if (type.scale === null) return Float32Array.from(numbers);
  const stored = (number) => Math.round(number / type.scale) + type.zero_point;
  return ARRAYS[type.dtype].from(numbers, stored);
}

/** What stored numbers stand for. */
export function decoded(stored, type) {
  if (type.scale === null) return Float32Array.from(stored);
  return Float32Array.from(stored, (number) => (number - type.zero_point) * type.scale);
}

/** The stored numbers that raw little-endian bytes hold. */
export function storedIn(buffer, type) {
  return new ARRAYS[type.dtype](buffer);
}

async function download(url) {
  const response = await fetch(url).catch((cause) => {
    throw new Error(`The server does not answer (${url.pathname}). Is it running?`, { cause });
  });
  if (response.ok) return new Uint8Array(await response.arrayBuffer());
  throw new Error(
    `The model is not at ${url.pathname} (HTTP ${response.status}). ` +
      "Start the server in the folder that holds the model files, not in runtimes/web, then reload the page.",
  );
}

function oneAtATime(run) {
  let last = Promise.resolve();
  return (pixels) => {
    const answer = last.then(() => run(pixels));
    last = answer.catch(() => undefined);
    return answer;
  };
}

async function loadOnnxRuntime(bytes, { layout }) {
  const { InferenceSession, Tensor, env } = await import("onnxruntime-web/wasm");
  env.wasm.numThreads = 1; // more need a server that isolates the page (COOP and COEP headers)
  const session = await InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  const shape = layout === "NCHW" ? CHANNELS_FIRST : SHAPE;
  return async (pixels) => {
    const answers = await session.run({ [model.input]: new Tensor("float32", pixels, shape) });
    return answers[model.output].data;
  };
}

let liteRt = null; // one for all files

function startLiteRt(loadRuntime) {
  liteRt ??= loadRuntime(new URL("node_modules/@litertjs/core/wasm/", import.meta.url).href);
  return liteRt;
}

async function loadLiteRt(bytes) {
  const { Tensor, loadAndCompile, loadLiteRt: loadRuntime } = await import("@litertjs/core");
  await startLiteRt(loadRuntime);
  const compiled = await loadAndCompile(bytes, { accelerator: "wasm" });
  return async (pixels) => {
    const input = new Tensor(pixels, SHAPE);
    const [output] = await compiled.run([input]);
    const answers = output.toTypedArray().slice();
    input.delete();
    output.delete();
    return answers;
  };
}
