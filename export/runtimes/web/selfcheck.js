/** Replays the golden vectors: do the answers here agree with those of the training machine? */

import { decoded, storedIn } from "./engines.js";
import { channelsLast } from "./layout.js";
import { model } from "./model.js";

/**
 * @param {URL} folder the golden folder
 * @param {string} format the format that `run` runs
 * @param {(pixels: Float32Array) => Promise<Float32Array>} run
 * @returns {Promise<{count: number, agree: number, largest: number}>}
 */
export async function selfCheck(folder, format, run) {
  const golden = await (await get(new URL("golden.json", folder))).json();
  if (golden.model_key !== model.key) {
    throw new Error(
      `The golden vectors in ${folder.pathname} are of model ${golden.model_key}, ` +
        `but this page is of model ${model.key}.`,
    );
  }
  const { input, output, tolerance } = golden.formats[format] ?? missing(format);
  const types = model.formats[format];
  const stored = await rows(new URL(input.file, folder), input.shape, types.input);
  const images = types.input.layout === "NCHW" ? stored.map(channelsLast) : stored;
  const expected = await rows(new URL(output.file, folder), output.shape, types.output);
  const differences = [];
  for (let i = 0; i < images.length; i++) {
    differences.push(largestDifference(await run(images[i]), expected[i]));
  }
  return {
    count: differences.length,
    agree: differences.filter((difference) => difference <= tolerance).length,
    largest: Math.max(...differences),
  };
}

function missing(format) {
  throw new Error(`The golden vectors have none for ${format}.`);
}

async function get(url) {
  const response = await fetch(url);
  if (response.ok) return response;
  throw new Error(
    `There are no golden vectors at ${url.pathname} (HTTP ${response.status}). Copy the golden ` +
      "folder of the verify artifact beside the model files, and try again.",
  );
}

/** One array a row of a raw file, of what its numbers stand for. */
async function rows(url, shape, type) {
  const values = decoded(storedIn(await (await get(url)).arrayBuffer(), type), type);
  const size = shape.slice(1).reduce((product, dimension) => product * dimension, 1);
  return Array.from({ length: shape[0] }, (_, row) => values.slice(row * size, (row + 1) * size));
}

/** NaN, which is within no tolerance, where an answer is missing or no number. */
function largestDifference(given, expected) {
  if (given.length !== expected.length) return NaN;
  return Math.max(...Array.from(given, (value, i) => Math.abs(value - expected[i])));
}
