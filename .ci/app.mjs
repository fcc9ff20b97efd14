// Drives the planner: BINARY, the folder of the golden pictures, --update.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import pixelmatch from "pixelmatch";
import pngjs from "pngjs";
import puppeteer from "puppeteer-core";

const [command, golden, update] = process.argv.slice(2);
const local = (file) => readFileSync(new URL(file, import.meta.url), "utf8");
const parts = { weights: "Weights", kv_cache: "KV cache", state: "State", workspace: "Workspace", runtime: "Runtime" };

const client = new Client({ name: "app-check", version: "1" });
await client.connect(new StdioClientTransport({ command, args: ["serve"], env: process.env }));
const { tools } = await client.listTools();
const uri = tools.find((t) => t.name === "plan_memory")._meta.ui.resourceUri;
const { contents: [page0] } = await client.readResource({ uri });
assert.equal(page0.mimeType, "text/html;profile=mcp-app");
const plan = (args) => client.callTool({ name: "plan_memory", arguments: args });

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM, headless: true,
  args: ["--no-sandbox", "--font-render-hinting=none", "--disable-lcd-text", "--force-prefers-reduced-motion", "--hide-scrollbars"],
});
const faults = [];
let passed = 0;
const check = async (name, f) => {
  await f();
  assert.deepEqual(faults, [], name);
  passed++;
  console.log("ok", name);
};

async function newPage(allowed) {
  const page = await browser.newPage();
  await page.setViewport({ width: 900, height: 900 });
  page.on("pageerror", (e) => faults.push(e.message));
  page.on("console", (m) => m.type() === "error" && !allowed.test(m.text()) && faults.push(m.text()));
  page.on("request", (r) => /^(data|about):/.test(r.url()) || allowed.test(r.url()) || faults.push("asked for " + r.url()));
  return page;
}

// What the page shows, and what an answer says it should show.
const shown = (frame) => frame.evaluate(() => ({
  required: Number(document.getElementById("required").value),
  text: document.getElementById("required").textContent,
  verdict: document.querySelector("main").dataset.verdict,
  legend: [...document.querySelectorAll("#legend li[data-part]")].map((li) => li.textContent),
  layers: document.querySelectorAll("#layers [role=option]").length,
}));
function expected({ structuredContent: p, content: [{ text }] }) {
  const d = p.devices.reduce((a, b) => ((b.headroom_bytes ?? 0) < (a.headroom_bytes ?? 0) ? b : a));
  const said = (name) => new RegExp(`\\b${name} ([\\d.]+ [KMGT]?i?B)`).exec(text)[1]; // in the server's own words
  return {
    required: d.required_bytes, text: said("Needs"), verdict: p.verdict, layers: p.layers.length,
    legend: Object.entries(parts).filter(([k]) => p.totals[k + "_bytes"]).map(([, name]) => `${name} ${said(name === "KV cache" ? name : name.toLowerCase())}`),
  };
}
const settled = (frame) => frame.waitForSelector("main[aria-busy=false]", { timeout: 20000 });
// act changes something and waits for the plan that follows.
const act = async (frame, f) => {
  await f();
  await frame.waitForFunction(() => document.querySelector("main").ariaBusy === "false", { timeout: 20000 });
};
const agrees = async (frame, args) => assert.deepEqual(await shown(frame), expected(await plan({ ...args, detail: "layers" })));

const page = await newPage(/^$/);
let calls = [], hold;
await page.exposeFunction("serverCall", async (params) => {
  calls.push(params);
  const result = await client.callTool(params);
  await hold?.(params);
  return result;
});
const open = async (options) => {
  await page.goto("about:blank");
  await page.setContent("<body style='margin:0'></body>");
  await page.evaluate(local("./app-host.bundle.js"));
  await page.evaluate((o) => window.openApp(o), { html: page0.text, theme: "light", ...options });
  const frame = await (await page.$("iframe")).contentFrame();
  await settled(frame);
  return frame;
};

let args = { model: "Qwen/Qwen3-8B", hardware: "RTX 4090", engine: "vllm", context_tokens: 8192 };
let frame = await open({ input: args, result: await plan(args) });

await check("the chat's plan is shown", () => agrees(frame, args));

await check("a slider plans again, to what plan_memory returns", async () => {
  const before = await shown(frame);
  await frame.focus("#context");
  await act(frame, () => page.keyboard.press("ArrowRight"));
  args = { ...args, context_tokens: Number(await frame.$eval("#context-exact", (e) => e.value)) };
  assert.ok(args.context_tokens > 8192);
  assert.ok((await shown(frame)).required > before.required);
  await agrees(frame, args);
  assert.deepEqual(calls.at(-1), { name: "plan_memory", arguments: { ...args, detail: "layers" } });
  await frame.focus("#sequences");
  await act(frame, () => page.keyboard.press("End"));
  args = { ...args, sequences: Number(await frame.$eval("#sequences-exact", (e) => e.value)) };
  assert.ok(args.sequences >= 1024);
  assert.equal((await shown(frame)).verdict, "does_not_fit");
  await agrees(frame, args);
});

await check("the mouse drags a slider", async () => {
  const box = await (await frame.$("#sequences")).boundingBox();
  await act(frame, async () => {
    await page.mouse.move(box.x + box.width - 9, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 3, box.y + box.height / 2, { steps: 12 });
    await page.mouse.up();
  });
  const now = Number(await frame.$eval("#sequences-exact", (e) => e.value));
  assert.ok(now > 1 && now < args.sequences);
  args = { ...args, sequences: now };
  await agrees(frame, args);
});

await check("the model is told what was chosen", async () => {
  const told = await page.evaluate(() => window.told.at(-1).content[0].text);
  assert.ok(told.includes(`"sequences":${args.sequences}`), told);
});

await check("an answer that comes late is dropped", async () => {
  calls = [];
  let release;
  const late = new Promise((r) => (release = r));
  hold = (p) => (p.arguments.sequences === 2 ? late : undefined);
  const reached = (n) => frame.waitForFunction((n) => document.getElementById("sequences-exact").value === n, {}, String(n));
  const set = (n) => frame.$eval("#sequences-exact", (e, n) => { e.value = n; e.dispatchEvent(new Event("input")); }, n);
  await set(2);
  while (!calls.some((c) => c.arguments.sequences === 2)) await reached(2);
  await act(frame, () => set(3));
  args = { ...args, sequences: 3 };
  await agrees(frame, args);
  release();
  hold = undefined;
  await page.evaluate(() => window.serverCall({ name: "lookup_hardware", arguments: { name: "A100" } })); // comes after the late one
  await agrees(frame, args);
});

await check("a burst of changes is few calls", async () => {
  calls = [];
  await act(frame, () => frame.$eval("#sequences", (e) => { for (let i = 0; i <= 10; i++) { e.value = i; e.dispatchEvent(new Event("input")); } }));
  assert.equal(calls.length, 1);
  args = { ...args, sequences: calls[0].arguments.sequences };
  await agrees(frame, args);
});

await check("weights, cache, engine and hardware", async () => {
  await act(frame, () => frame.select("#kv", "fp8"));
  args = { ...args, kv_cache_dtype: "fp8" };
  await agrees(frame, args);
  await act(frame, () => frame.select("#weights", "fp8"));
  args = { ...args, weights: "fp8" };
  await agrees(frame, args);
  await act(frame, () => frame.select("#hardware", "H100 SXM5 80GB"));
  args = { ...args, hardware: "H100 SXM5 80GB" };
  await agrees(frame, args);
  await frame.focus("#count");
  await act(frame, () => page.keyboard.press("ArrowUp"));
  args = { ...args, hardware: "2x H100 SXM5 80GB" };
  await agrees(frame, args);
  await act(frame, () => frame.select("#engine", "llama.cpp"));
  args = { model: args.model, hardware: args.hardware, engine: "llama.cpp", context_tokens: args.context_tokens, sequences: args.sequences };
  await agrees(frame, args);
});

await check("a suggestion makes it fit", async () => {
  args = { model: "Qwen/Qwen3-8B", hardware: "RTX 4090", engine: "vllm", context_tokens: 40960, sequences: 4 };
  const result = await plan(args);
  frame = await open({ input: args, result });
  await act(frame, () => frame.click("#suggestions button"));
  args = { ...args, ...result.structuredContent.suggestions[0].arguments };
  await agrees(frame, args);
  assert.equal((await shown(frame)).verdict, "fits");
});

await check("an error says code and hint, and offers candidates", async () => {
  const wrong = await plan({ ...args, model: "Qwen/Qwen3-8" });
  await frame.$eval("#model-input", (e) => { e.value = ""; });
  await frame.type("#model-input", "Qwen/Qwen3-8");
  await act(frame, () => page.keyboard.press("Enter"));
  const text = await frame.$eval("#problem", (e) => e.innerText);
  for (const s of [wrong.structuredContent.code, wrong.structuredContent.message, wrong.structuredContent.hint]) assert.ok(text.includes(s), `${s} is not in ${text}`);
  const [choice] = wrong.structuredContent.candidates;
  await act(frame, () => frame.click("#problem-candidates button"));
  args = { ...args, model: choice };
  await agrees(frame, args);
  assert.equal(await frame.$eval("#problem", (e) => e.hidden), true);
});

await check("the layers by keyboard", async () => {
  await frame.focus("#layers");
  await page.keyboard.press("End");
  const [active, label] = await frame.$eval("#layers", (e) => [e.getAttribute("aria-activedescendant"), document.getElementById("layer-readout").textContent]);
  assert.equal(active, "layer-35");
  assert.match(label, /^Layer 35: full, .*weights .* MiB, cache .* MiB$/);
});

// Drawing, from an answer that was kept: what the program computes may change,
// how it is drawn should not unseen.
const kept = JSON.parse(readFileSync(golden + "/answer.json", "utf8"));
for (const theme of ["light", "dark"]) {
  await check(`golden picture and accessibility, ${theme}`, async () => {
    await page.setViewport({ width: 760, height: 900 });
    hold = undefined;
    await page.evaluate(() => 0);
    frame = await open({ theme, input: kept.arguments, result: kept.result });
    await frame.evaluate((kept) => { show(kept.result); document.activeElement.blur(); }, kept);
    await frame.evaluate(local("./node_modules/axe-core/axe.min.js"));
    const { violations } = await frame.evaluate(() => axe.run(document));
    assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target + " " + n.failureSummary).join("; ")}`), []);
    const png = Buffer.from(await (await page.$("iframe")).screenshot());
    const file = `${golden}/${theme}.png`;
    if (update === "--update" || !existsSync(file)) {
      assert.equal(update, "--update", `${file} is missing; .ci/app BINARY --update draws it`);
      return writeFileSync(file, png);
    }
    const want = pngjs.PNG.sync.read(readFileSync(file)), got = pngjs.PNG.sync.read(png);
    assert.deepEqual([got.width, got.height], [want.width, want.height]);
    const differ = pixelmatch(want.data, got.data, undefined, want.width, want.height, { threshold: 0.15 }) / (want.width * want.height);
    assert.ok(differ < 0.01, `${(differ * 100).toFixed(2)} % of the pixels differ from ${file}`);
  });
}

// The page of its own, with a token.
const token = "0123456789abcdef0123";
const child = spawn(command, ["serve", "--transport", "http", "--listen", "127.0.0.1:0"], { env: { ...process.env, HWLEDGER_TOKEN: token }, stdio: ["ignore", "ignore", "pipe"] });
try {
  let origin;
  for await (const line of createInterface({ input: child.stderr })) {
    const address = /address=(\S+)/.exec(line);
    if (address) { origin = `http://${address[1]}`; break; }
  }
  await check("/planner asks for a token and plans by POST", async () => {
    const own = await newPage(new RegExp(`^${origin}/|status of 401`));
    args = { model: "Qwen/Qwen3-8B", hardware: "2x RTX 3090", context_tokens: 4096 };
    const response = await own.goto(`${origin}/planner?${new URLSearchParams(args)}`);
    assert.match(response.headers()["content-security-policy"], /default-src 'none'.*frame-ancestors 'none'/);
    await own.waitForSelector("#token-form:not([hidden])");
    await own.type("#token", token);
    await act(own, () => own.click("#token-form button"));
    await agrees(own, args);
    await own.focus("#context");
    await act(own, () => own.keyboard.press("ArrowLeft"));
    args.context_tokens = Number(await own.$eval("#context-exact", (e) => e.value));
    assert.ok(args.context_tokens < 4096);
    await agrees(own, args);
    assert.equal(new URL(own.url()).searchParams.get("context_tokens"), String(args.context_tokens));
  });
} finally {
  child.kill();
}
await browser.close();
await client.close();
console.log(`${passed} passed, 0 failed`);
