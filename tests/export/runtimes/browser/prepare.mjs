/**
 * Answers each line of standard input, {script, rgba: {width, height, data: base64}, wanted,
 * ground}, with a line, {pixels: base64, readAs} or {error}: what `prepare` of the picture.js at
 * `script` says. Where `wanted` is null, it is that of the model.js beside it.
 */
import { createInterface } from "node:readline";

async function answer({ script, rgba, wanted, ground }) {
  const { prepare } = await import(script);
  const model = wanted ?? (await import(new URL("model.js", script))).model;
  const data = new Uint8ClampedArray(Buffer.from(rgba.data, "base64"));
  const { pixels, readAs } = prepare({ ...rgba, data }, model, ground);
  return { pixels: Buffer.from(pixels).toString("base64"), readAs };
}

for await (const line of createInterface({ input: process.stdin })) {
  const told = await answer(JSON.parse(line)).catch(({ message }) => ({ error: message }));
  console.log(JSON.stringify(told));
}
