/** Turns any picture into what the model takes, by the same steps as `run_pipeline.py predict`. */

import { prepareInk } from "./ink.js";

const MID_GREY = 127.5;
// Pillow rounds its filter weights to this, and each pass to whole pixels. So does this file: then
// a picture gives the same bytes here and there. (Pillow 13 shrinks pictures over twice as high as
// wide in the other order of passes; single pixels of those differ by 1.)
const WEIGHT_ONE = 2 ** 22;

/**
 * @param {{width: number, height: number, data: Uint8ClampedArray}} rgba as canvas gives it
 * @param {{height: number, width: number, channels: number, colour: string, background: string,
 *   fit: string, alpha: string, preparation: object | null}} wanted the model; of a grey picture
 *   all its channels are equal; `preparation` is how ink lies in its training images, as in ink.js
 * @param {"auto" | "dark" | "light"} ground what surrounds the subject; auto looks at the picture
 * @returns {{pixels: Uint8Array, readAs: string}} height x width x channels values 0..255
 */
export function prepare(rgba, wanted, ground = "auto") {
  const { pixels, readAs } = asTrained(rgba, wanted, ground);
  const times = (wanted.height * wanted.width * wanted.channels) / pixels.length;
  const size = { length: pixels.length * times };
  return { pixels: Uint8Array.from(size, (_, i) => pixels[Math.floor(i / times)]), readAs };
}

function asTrained(rgba, wanted, ground) {
  if (wanted.preparation) return inkAsTrained(rgba, wanted, ground);
  const opaque = flatten(rgba, wanted.colour === "rgb" ? 3 : 1, paperFor(rgba.data, wanted.alpha));
  if (wanted.fit !== "pad") {
    return { pixels: fitAsTrained(opaque, wanted).data, readAs: broughtTo(opaque, wanted) };
  }
  const border = borderOf(opaque);
  const pixels = fit(opaque, wanted.width, wanted.height, border).data;
  if (wanted.background === "mixed") return { pixels, readAs: broughtTo(opaque, wanted) };
  const found = ground === "auto" ? (mean(border) > MID_GREY ? "light" : "dark") : ground;
  const readAs = found === "light" ? "dark on light" : "light on dark";
  if (found === wanted.background) return { pixels, readAs };
  return { pixels: pixels.map((value) => 255 - value), readAs: `${readAs}, inverted` };
}

function inkAsTrained(rgba, { preparation, height, width, background }, ground) {
  const grey = flatten(rgba, 1, paperFor(rgba.data, "contrast"));
  const layout = { ...preparation, height, width, isLight: background === "dark" };
  const said = ground === "auto" ? null : ground === "light";
  const { pixels, isDark } = prepareInk(grey, layout, said);
  if (pixels.every((value) => value === pixels[0])) return { pixels, readAs: "no ink found" };
  return { pixels, readAs: isDark ? "dark on light" : "light on dark" };
}

/** Whether `prepare` says of a picture what it is drawn with; of others, how it came to its size. */
export function isReadAsDrawing(wanted) {
  return Boolean(wanted.preparation) || (wanted.fit === "pad" && wanted.background !== "mixed");
}

const BROUGHT = {
  crop: "cropped to",
  letterbox: "with black bars to",
  stretch: "stretched to",
  pad: "with its border's colour to",
};

/** How a picture came to the model's size, in the words of `run_pipeline.py predict`. */
function broughtTo(image, { width, height, fit: kind }) {
  if (image.width === width && image.height === height) return "as it is";
  const isAlike = image.height * width === image.width * height;
  return `${isAlike ? "scaled to" : BROUGHT[kind]} ${width}×${height}`;
}

/** The grey that lies behind what is transparent. */
function paperFor(data, alpha) {
  if (alpha === "contrast") return isLightDrawing(data) ? 0 : 255;
  if (alpha === "refuse" && data.some((value, at) => at % 4 === 3 && value < 255)) {
    throw new Error("This picture has transparent parts. Choose one without.");
  }
  return alpha === "black" ? 0 : 255;
}

function flatten({ width, height, data }, channels, paper) {
  const flat = new Uint8Array(width * height * channels);
  for (let from = 0, to = 0; from < data.length; from += 4, to += channels) {
    const alpha = data[from + 3];
    const red = over(data[from], paper, alpha);
    const green = over(data[from + 1], paper, alpha);
    const blue = over(data[from + 2], paper, alpha);
    if (channels === 1) {
      flat[to] = grey(red, green, blue);
    } else {
      flat[to] = red;
      flat[to + 1] = green;
      flat[to + 2] = blue;
    }
  }
  return { width, height, channels, data: flat };
}

function isLightDrawing(data) {
  let light = 0;
  let weight = 0;
  for (let i = 0; i < data.length; i += 4) {
    light += data[i + 3] * grey(data[i], data[i + 1], data[i + 2]);
    weight += data[i + 3];
  }
  return weight > 0 && light / weight > MID_GREY;
}

/** Alpha blending on opaque paper, rounded as Pillow does. */
function over(value, paper, alpha) {
  const sum = value * alpha + paper * (255 - alpha) + 128;
  return (128 * sum + (sum >> 1)) >> 15;
}

/** ITU-R 601 luma in fixed point, as Pillow computes it. */
function grey(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

/** Median of the outermost ring, by channel; corners count twice. */
function borderOf({ width, height, channels, data }) {
  const ring = [];
  for (let x = 0; x < width; x++) ring.push(x, (height - 1) * width + x);
  for (let y = 0; y < height; y++) ring.push(y * width, y * width + width - 1);
  return Array.from({ length: channels }, (_, c) =>
    median(ring.map((pixel) => data[pixel * channels + c])),
  );
}

function median(values) {
  const sorted = Uint8Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function fitAsTrained(image, { width, height, fit: kind }) {
  if (image.width === width && image.height === height) return image;
  if (kind === "letterbox") return fit(image, width, height, [0, 0, 0]);
  return resize(kind === "crop" ? cropped(image, width, height) : image, width, height);
}

/** The largest central part in the proportions of `width` and `height`. */
function cropped(image, width, height) {
  if (image.width * height >= image.height * width) {
    const kept = Math.max(1, Math.floor((2 * image.height * width + height) / (2 * height)));
    return part(image, (image.width - kept) >> 1, 0, kept, image.height);
  }
  const kept = Math.max(1, Math.floor((2 * image.width * height + width) / (2 * width)));
  return part(image, 0, (image.height - kept) >> 1, image.width, kept);
}

function part(image, left, top, width, height) {
  const stride = width * image.channels;
  const data = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * image.width + left) * image.channels;
    data.set(image.data.subarray(start, start + stride), y * stride);
  }
  return { width, height, channels: image.channels, data };
}

/** Scales to fit, keeping proportions; `around` fills the rest. */
function fit(image, width, height, around) {
  const { channels } = image;
  const scale = Math.min(width / image.width, height / image.height);
  const columns = Math.max(1, roundHalfToEven(image.width * scale));
  const rows = Math.max(1, roundHalfToEven(image.height * scale));
  const scaled = resize(image, columns, rows);
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < data.length; i++) data[i] = around[i % channels];
  const [left, top] = [(width - columns) >> 1, (height - rows) >> 1];
  for (let y = 0; y < rows; y++) {
    const row = scaled.data.subarray(y * columns * channels, (y + 1) * columns * channels);
    data.set(row, ((top + y) * width + left) * channels);
  }
  return { width, height, channels, data };
}

function roundHalfToEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}

/** Bilinear with antialiasing: a triangle filter as wide as the step, columns first, then rows. */
export function resize(image, width, height) {
  return resizeRows(resizeColumns(image, width), height);
}

function resizeColumns({ width, height, channels, data }, newWidth) {
  if (width === newWidth) return { width, height, channels, data };
  const result = new Uint8Array(newWidth * height * channels);
  weightsFor(width, newWidth).forEach(({ first, weights }, x) => {
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < channels; c++) {
        const start = (y * width + first) * channels + c;
        result[(y * newWidth + x) * channels + c] = weighted(data, start, channels, weights);
      }
    }
  });
  return { width: newWidth, height, channels, data: result };
}

function resizeRows({ width, height, channels, data }, newHeight) {
  if (height === newHeight) return { width, height, channels, data };
  const stride = width * channels;
  const result = new Uint8Array(stride * newHeight);
  weightsFor(height, newHeight).forEach(({ first, weights }, y) => {
    for (let i = 0; i < stride; i++) {
      result[y * stride + i] = weighted(data, first * stride + i, stride, weights);
    }
  });
  return { width, height: newHeight, channels, data: result };
}

function weighted(data, start, step, weights) {
  let sum = WEIGHT_ONE / 2;
  for (let i = 0; i < weights.length; i++) sum += data[start + i * step] * weights[i];
  return Math.min(255, Math.floor(sum / WEIGHT_ONE));
}

/** For each new pixel: the first old pixel that counts, and the weights of it and the next ones. */
function weightsFor(oldSize, newSize) {
  const step = oldSize / newSize;
  const reach = Math.max(step, 1);
  return Array.from({ length: newSize }, (_, index) => {
    const centre = (index + 0.5) * step;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(oldSize, Math.trunc(centre + reach + 0.5));
    const heights = Array.from({ length: end - first }, (_, i) =>
      Math.max(0, 1 - Math.abs(first + i - centre + 0.5) / reach),
    );
    const total = heights.reduce((sum, value) => sum + value, 0);
    const weights = heights.map((value) => Math.trunc(0.5 + (value / total) * WEIGHT_ONE));
    return { first, weights };
  });
}
