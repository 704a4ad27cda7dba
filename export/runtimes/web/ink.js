/**
 * Brings a picture of ink on an even ground to what a model was trained on, to the same bytes as
 * `run_pipeline.py predict` does; the project's docs/preparation.md says each step.
 *
 * An image is {width, height, data}, row after row of 0..255. Once reduced, it has at most WORK
 * pixels a side: sums over it are far below 2 ** 31.
 */

const WORK = 128; // pixels of the longer side, at most, on which anything is looked for
const LEAST = 32; // pixels of the longer side, at least
const SPARSE = 64; // pixels of the longer side from which on a subject may be small in its picture
const EDGE = 16; // this part of the longer side may show a table beneath the paper
const [LOW, HIGH] = [40, 98]; // per cent of a prepared image's pixels below what becomes 0 and 255
const FAINT = 16; // grey levels, at least, that are stretched to 255

/**
 * Finds the subject, takes the ground away, and lays it out as training images are.
 *
 * @param {{width: number, height: number, data: Uint8Array}} grey
 * @param {{height: number, width: number, box: number, centre: "mass" | "box",
 *   middle: [number, number], isLight: boolean}} layout of the training images: their size, the
 *   pixels of a subject's longer side, what of it lies at twice which pixel from the top and from
 *   the left, and whether ink is lighter than its ground
 * @param {boolean | null} isDark whether the ink is darker than its ground; null finds it out
 * @returns {{pixels: Uint8Array, isDark: boolean}} height x width values, and what was found
 */
export function prepareInk(grey, layout, isDark = null) {
  let picture = reduced(grey);
  const found = polarity(picture);
  isDark ??= found.isDark;
  if (isDark !== layout.isLight && liesAsTrained(grey, isDark, layout)) {
    return { pixels: Uint8Array.from(grey.data), isDark };
  }
  const isSmall = found.isSparse && longerSide(picture) >= SPARSE;
  if (isSmall) {
    const far = aboveGround(inkOf(picture, isDark), div(longerSide(picture), 6));
    clearEdge(far, div(longerSide(far), EDGE));
    picture = reduced(closer(grey, subjectOf(far, true)));
  }
  const raw = inkOf(enlarged(picture), isDark);
  const ink = aboveGround(raw, div(longerSide(raw) * (isSmall ? 1 : 2), 3));
  let subject = subjectOf(ink, false);
  if (subject && !isSmall && (subject.left === 0 || subject.right === ink.width)) {
    // Cut out by someone who knew where it is, with parts of its neighbours.
    subject = whole(ink);
    layout = { ...layout, box: div(layout.box * 6, 5) };
  }
  const pixels = laidOut(ink, subject, layout);
  return { pixels: layout.isLight ? pixels : pixels.map((value) => 255 - value), isDark };
}

/** Whether ink in a picture of the training images' size has its size and its place already. */
function liesAsTrained(grey, isDark, layout) {
  if (grey.height !== layout.height || grey.width !== layout.width) return false;
  const large = enlarged(inkOf(grey, isDark));
  const scale = div(large.height, grey.height);
  const subject = subjectOf(aboveGround(large, div(2 * longerSide(large), 3)), false);
  if (!subject) return false;
  const longer = Math.max(subject.bottom - subject.top, subject.right - subject.left);
  const [twiceY, twiceX] = twiceCentre(subject, layout);
  const off = [twiceY - scale * layout.middle[0], twiceX - scale * layout.middle[1]];
  const isInPlace = Math.max(...off.map(Math.abs)) <= 3 * scale;
  return isInPlace && Math.abs(longer - scale * layout.box) <= 2 * scale;
}

/**
 * Ink is what is rare. Where little of it lies on much ground, grey levels about their local mean
 * are skewed to its side; where a subject fills its picture, the ground is what most pixels, and
 * most of the outermost, are.
 */
function polarity(image) {
  const { width, height, data } = image;
  const longer = longerSide(image);
  const mean = localMean(image, Math.max(3, div(longer, 4) | 1)).data;
  const edge = longer >= SPARSE ? div(longer, EDGE) : 0;
  let [square, cube] = [0, 0];
  for (let y = edge; y < height - edge; y++) {
    for (let x = edge; x < width - edge; x++) {
      const about = data[y * width + x] - mean[y * width + x];
      square += about * about;
      cube += about * about * about;
    }
  }
  const size = Math.max(0, height - 2 * edge) * Math.max(0, width - 2 * edge);
  if (square && cube * cube * size >= square * square * square) {
    return { isDark: cube < 0, isSparse: true };
  }
  const level = otsu(data);
  const lightOf = (at) => Number(data[at] > level);
  let [light, ring, around] = [0, 0, 0]; // ring: how many of the outermost `around` are light
  for (let at = 0; at < data.length; at++) light += lightOf(at);
  for (let x = 0; x < width; x++, around += 2) {
    ring += lightOf(x) + lightOf((height - 1) * width + x);
  }
  for (let y = 1; y < height - 1; y++, around += 2) {
    ring += lightOf(y * width) + lightOf(y * width + width - 1);
  }
  const isDark = light * around + ring * data.length > data.length * around;
  return { isDark, isSparse: false };
}

/**
 * The heaviest strokes, rather in the middle than at an edge, and those above and below.
 *
 * @returns {object | null} the box in pixels, the far ends outside, and twice the centre of mass
 */
function subjectOf(ink, isFar) {
  const smooth = longerSide(ink) >= 48 ? localMean(ink, 3).data : ink.data.slice();
  const level = Math.max(otsu(smooth), isFar ? div(2 * ranked(smooth, 100), 5) : 0);
  const strokes = strokesOf(ink, smooth, level);
  if (!strokes.length) return null;
  const scores = strokes.map((stroke) => score(stroke, ink));
  const main = strokes[scores.indexOf(Math.max(...scores))];
  const parts = strokes.filter((stroke) => stroke === main || belongs(stroke, main));
  const sum = (of) => parts.reduce((total, part) => total + of(part), 0);
  const mass = Math.max(1, sum((part) => part.mass));
  return {
    top: Math.min(...parts.map((part) => part.top)),
    bottom: Math.max(...parts.map((part) => part.bottom)),
    left: Math.min(...parts.map((part) => part.left)),
    right: Math.max(...parts.map((part) => part.right)),
    twiceY: div(sum((part) => part.momentY), mass),
    twiceX: div(sum((part) => part.momentX), mass),
  };
}

function score({ top, bottom, left, right, mass, momentY, momentX }, { width, height }) {
  const some = Math.max(mass, 1);
  const [offY, offX] = [momentY / some / height - 1, momentX / some / width - 1];
  const touches = top === 0 || left === 0 || bottom === height || right === width;
  return mass * (4 - offY * offY - offX * offX) * (touches ? 1 : 2);
}

function belongs(stroke, main) {
  const shared = Math.min(stroke.right, main.right) - Math.max(stroke.left, main.left);
  const gap = Math.max(stroke.top - main.bottom, main.top - stroke.bottom);
  const isNear = 5 * gap <= main.bottom - main.top;
  return isNear && 2 * shared >= stroke.right - stroke.left && 50 * stroke.mass >= main.mass;
}

/** What hangs together above a level of `smooth`, also at corners; it becomes 0 there. */
function strokesOf({ width, height, data }, smooth, level) {
  const strokes = [];
  const open = [];
  const take = (at) => {
    smooth[at] = 0;
    open.push(at);
  };
  for (let start = 0; start < smooth.length; start++) {
    if (smooth[start] <= level) continue;
    const stroke = { top: height, bottom: 0, left: width, right: 0 };
    let [mass, momentY, momentX] = [0, 0, 0];
    take(start);
    while (open.length) {
      const at = open.pop();
      const y = div(at, width);
      const x = at - y * width;
      stroke.top = Math.min(stroke.top, y);
      stroke.bottom = Math.max(stroke.bottom, y + 1);
      stroke.left = Math.min(stroke.left, x);
      stroke.right = Math.max(stroke.right, x + 1);
      mass += data[at];
      momentY += data[at] * (2 * y + 1);
      momentX += data[at] * (2 * x + 1);
      for (let row = Math.max(y - 1, 0); row <= Math.min(y + 1, height - 1); row++) {
        for (let column = Math.max(x - 1, 0); column <= Math.min(x + 1, width - 1); column++) {
          if (smooth[row * width + column] > level) take(row * width + column);
        }
      }
    }
    strokes.push({ ...stroke, mass, momentY, momentX });
  }
  return strokes;
}

function clearEdge({ width, height, data }, edge) {
  data.fill(0, 0, edge * width);
  data.fill(0, Math.max(0, height - edge) * width);
  for (let y = edge; y < height; y++) {
    data.fill(0, y * width, y * width + edge);
    data.fill(0, (y + 1) * width - edge, (y + 1) * width);
  }
}

function whole({ width, height }) {
  return { top: 0, bottom: height, left: 0, right: width, twiceY: height, twiceX: width };
}

/** The part of a picture around what was found in it when it was reduced. */
function closer(grey, subject) {
  if (!subject) return grey;
  const { top, bottom, left, right } = subject;
  const margin = Math.max(4, div(3 * Math.max(bottom - top, right - left), 8));
  const { rows, columns } = block(grey);
  const from = { y: Math.max(0, top - margin) * rows, x: Math.max(0, left - margin) * columns };
  const height = Math.min((bottom + margin) * rows, grey.height) - from.y;
  const width = Math.min((right + margin) * columns, grey.width) - from.x;
  return part(grey, from, blank(width, height));
}

/** Fills an image from another's pixels from a place on, where that has any. */
function part(image, from, into) {
  const [left, right] = [Math.max(from.x, 0), Math.min(from.x + into.width, image.width)];
  for (let y = Math.max(from.y, 0); y < Math.min(from.y + into.height, image.height); y++) {
    const row = image.data.subarray(y * image.width + left, y * image.width + right);
    into.data.set(row, (y - from.y) * into.width + left - from.x);
  }
  return into;
}

/** Scales the subject to its box, its centre to the middle; stretches the contrast. */
function laidOut(ink, subject, layout) {
  const { height, width, box, middle } = layout;
  if (!subject) return new Uint8Array(height * width);
  const { top, bottom, left, right } = subject;
  const longer = Math.max(bottom - top, right - left);
  const rows = Math.max(1, div(2 * longer * height + box, 2 * box));
  const columns = Math.max(1, div(2 * longer * width + box, 2 * box));
  const [twiceY, twiceX] = twiceCentre(subject, layout);
  const y = div(twiceY - div(middle[0] * rows, height), 2);
  const x = div(twiceX - div(middle[1] * columns, width), 2);
  const [endY, endX] = [Math.min(y + rows, ink.height), Math.min(x + columns, ink.width)];
  const seen = blank(endX - Math.max(x, 0), endY - Math.max(y, 0));
  part(ink, { y: Math.max(y, 0), x: Math.max(x, 0) }, seen);
  const frame = blank(columns, rows);
  frame.data.fill(ranked(seen.data, LOW));
  const pixels = averaged(part(ink, { y, x }, frame), height, width);
  const [low, high] = [ranked(pixels, LOW), ranked(pixels, HIGH)];
  const range = Math.max(FAINT, high - low);
  return pixels.map((value) => clip(div((value - low) * 255, range), 0, 255));
}

function twiceCentre({ top, bottom, left, right, twiceY, twiceX }, { centre }) {
  return centre === "mass" ? [twiceY, twiceX] : [top + bottom, left + right];
}

/** The value below which so many per cent of them lie; of 100, the greatest. */
function ranked(values, percent) {
  const count = histogram(values);
  const rank = Math.min(div(values.length * percent, 100), values.length - 1);
  let [level, below] = [0, count[0]];
  while (below <= rank) below += count[++level];
  return level;
}

function histogram(values) {
  const count = new Int32Array(256);
  for (let at = 0; at < values.length; at++) count[values[at]]++;
  return count;
}

function inkOf(image, isDark) {
  if (!isDark) return image;
  const ink = blank(image.width, image.height);
  for (let at = 0; at < ink.data.length; at++) ink.data[at] = 255 - image.data[at];
  return ink;
}

/** What stands out: ink less its opening by the largest square window that fits. */
function aboveGround(ink, window) {
  const { width, height } = ink;
  const [rows, columns] = [Math.min(window, height), Math.min(window, width)];
  const ground = ink.data.slice();
  least(ground, rows, width);
  const tops = ground.subarray(0, (height - rows + 1) * width); // where whole windows begin
  least(tops, columns, 1);
  for (let end = width; end <= tops.length; end += width) tops.fill(0, end - columns + 1, end);
  greatest(tops, columns, 1);
  ground.fill(0, tops.length);
  greatest(ground, rows, width);
  for (let at = 0; at < ground.length; at++) ground[at] = ink.data[at] - ground[at];
  return { width, height, data: ground };
}

/** Makes each value the least of the `window` that begin with it, `stride` apart. */
function least(values, window, stride) {
  for (let done = 1, step; done < window; done += step) {
    step = Math.min(done, window - done);
    const apart = step * stride;
    for (let at = 0; at < values.length - apart; at++) {
      const [here, there] = [values[at], values[at + apart]];
      values[at] = here < there ? here : there;
    }
  }
}

/** Makes each value the greatest of the `window` that end with it, `stride` apart. */
function greatest(values, window, stride) {
  for (let done = 1, step; done < window; done += step) {
    step = Math.min(done, window - done);
    const apart = step * stride;
    for (let at = values.length - 1; at >= apart; at--) {
      const [here, there] = [values[at], values[at - apart]];
      values[at] = here > there ? here : there;
    }
  }
}

/** The mean of the square of `size` pixels around each, as far as it lies within; rounded. */
function localMean({ width, height, data }, size) {
  const stride = width + 1;
  const sums = new Int32Array(stride * (height + 1)); // of all above and to the left
  for (let y = 0; y < height; y++) {
    for (let x = 0, row = 0; x < width; x++) {
      row += data[y * width + x];
      sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + row;
    }
  }
  const mean = blank(width, height);
  const half = div(size, 2);
  for (let y = 0, to = 0; y < height; y++) {
    const top = Math.max(y - half, 0);
    const bottom = Math.min(y + half + 1, height);
    for (let x = 0; x < width; x++, to++) {
      const left = Math.max(x - half, 0);
      const right = Math.min(x + half + 1, width);
      const above = sums[top * stride + right] - sums[top * stride + left];
      const sum = sums[bottom * stride + right] - sums[bottom * stride + left] - above;
      mean.data[to] = rounded(sum, (bottom - top) * (right - left));
    }
  }
  return mean;
}

/** The level that parts dark from light pixels best (Otsu 1979): those above it are light. */
function otsu(values) {
  const count = histogram(values);
  const total = count.reduce((sum, many, level) => sum + many * level, 0);
  let [below, sum, best, most] = [0, 0, 0, -1];
  for (let level = 0; level < 256; level++) {
    below += count[level];
    sum += count[level] * level;
    const apart = total * below - sum * values.length;
    const parted = (apart * apart) / Math.max(below * (values.length - below), 1);
    if (parted > most) [best, most] = [level, parted];
  }
  return best;
}

/** Means of square blocks, so that the longer side is no longer than WORK; whole blocks only. */
function reduced(grey) {
  const { rows, columns } = block(grey);
  if (rows === 1 && columns === 1) return grey;
  const { width, data } = grey;
  const image = blank(div(width, columns), div(grey.height, rows));
  for (let y = 0, to = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++, to++) {
      let sum = 0;
      for (let row = y * rows; row < (y + 1) * rows; row++) {
        const start = row * width + x * columns;
        for (let at = start; at < start + columns; at++) sum += data[at];
      }
      image.data[to] = rounded(sum, rows * columns);
    }
  }
  return image;
}

function block({ width, height }) {
  const factor = Math.ceil(Math.max(width, height) / WORK);
  return { rows: Math.min(factor, height), columns: Math.min(factor, width) };
}

/** Bilinear by a whole factor, so that the longer side is no shorter than LEAST. */
function enlarged(image) {
  const factor = Math.ceil(LEAST / longerSide(image));
  if (factor === 1) return image;
  const { width, height, data } = image;
  const large = blank(width * factor, height * factor);
  const rows = between(height, factor);
  const columns = between(width, factor);
  const across = (y, { before, after, rest }) =>
    data[y * width + before] * (2 * factor - rest) + data[y * width + after] * rest;
  rows.forEach(({ before, after, rest }, y) => {
    columns.forEach((column, x) => {
      const sum = across(before, column) * (2 * factor - rest) + across(after, column) * rest;
      large.data[y * large.width + x] = rounded(sum, 4 * factor * factor);
    });
  });
  return large;
}

/** For each new pixel: the old ones around it, and how much of `2 * factor` the second counts. */
function between(size, factor) {
  return Array.from({ length: size * factor }, (_, index) => {
    const place = 2 * index + 1 - factor;
    const first = div(place, 2 * factor);
    return {
      before: Math.max(first, 0),
      after: Math.min(first + 1, size - 1),
      rest: place - 2 * factor * first,
    };
  });
}

/** Scales by averaging over the area that each pixel comes from; rounded. */
function averaged(frame, height, width) {
  const across = new Float64Array(frame.height * width);
  for (let x = 0; x < width; x++) {
    shares(frame.width, width, x, (from, share) => {
      for (let y = 0; y < frame.height; y++) {
        across[y * width + x] += frame.data[y * frame.width + from] * share;
      }
    });
  }
  const sums = new Float64Array(height * width);
  for (let y = 0; y < height; y++) {
    shares(frame.height, height, y, (from, share) => {
      for (let x = 0; x < width; x++) sums[y * width + x] += across[from * width + x] * share;
    });
  }
  return Uint8Array.from(sums, (sum) => rounded(sum, frame.data.length));
}

/** Tells how much of each of `size` pixels lies in number `index` of `to`; `size` in all. */
function shares(size, to, index, tell) {
  for (let from = div(index * size, to); from * to < (index + 1) * size; from++) {
    const end = Math.min((from + 1) * to, (index + 1) * size);
    tell(from, end - Math.max(from * to, index * size));
  }
}

function blank(width, height) {
  return { width, height, data: new Uint8Array(width * height) };
}

function longerSide({ width, height }) {
  return Math.max(width, height);
}

function rounded(sum, count) {
  return div(2 * sum + count, 2 * count);
}

/** Whole division, down also below 0. */
function div(dividend, divisor) {
  return Math.floor(dividend / divisor);
}

function clip(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
