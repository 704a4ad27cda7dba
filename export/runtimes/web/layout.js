/** Turns an image's numbers from height, width, channels to channels first, and back. */

import { model } from "./model.js";

const AREA = model.height * model.width;

/** @param {Float32Array} pixels of one image, as the page has them */
export function channelsFirst(pixels) {
  return pixels.map((_, i) => pixels[(i % AREA) * model.channels + Math.floor(i / AREA)]);
}

/** @param {Float32Array} pixels of one image, as a format takes them that has channels first */
export function channelsLast(pixels) {
  return pixels.map((_, i) => pixels[(i % model.channels) * AREA + Math.floor(i / model.channels)]);
}
