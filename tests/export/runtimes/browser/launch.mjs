/** Starts headless Chromium, prints the address for drive.mjs, ends with standard input. */
import { chromium } from "playwright-core";

const [executablePath] = process.argv.slice(2);
const server = await chromium.launchServer({ executablePath, args: ["--no-sandbox"] });
console.log(server.wsEndpoint());
process.stdin.on("end", () => server.close()).resume();
