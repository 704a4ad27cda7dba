/**
 * Runs `prepare` of a picture.js, whose address is the argument, on what standard input says in
 * JSON: {rgba: {width, height, data: base64}, wanted}; that is of the model.js beside it if null.
 * Prints {pixels: base64, readAs}.
 */
import { readFileSync } from "node:fs";

const { prepare } = await import(process.argv[2]);
const { rgba, wanted } = JSON.parse(readFileSync(0, "utf8"));
const model = wanted ?? (await import(new URL("model.js", process.argv[2]))).model;
const data = new Uint8ClampedArray(Buffer.from(rgba.data, "base64"));
const { pixels, readAs } = prepare({ ...rgba, data }, model);
console.log(JSON.stringify({ pixels: Buffer.from(pixels).toString("base64"), readAs }));
