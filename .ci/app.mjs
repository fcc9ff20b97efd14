// Usage: app.mjs SERVER CHROMIUM GOLDEN-FOLDER [--update]
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import assert from 'node:assert/strict';
import puppeteer from 'puppeteer-core';
import { PNG } from 'pngjs';
import pixelmatch from 'pixelmatch';

const [binary, chromium, golden, update] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'hwledger-app-'));

// The host's page has an origin of its own, which the server is told to allow.
const pages = createServer((req, res) => {
  res.setHeader('Content-Type', req.url === '/app-host.js' ? 'text/javascript' : 'text/html');
  res.end(req.url === '/app-host.js' ? readFileSync(join(here, 'app-host.js')) : '<!doctype html><body><script src="/app-host.js"></script>');
});
await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
const hostOrigin = `http://127.0.0.1:${pages.address().port}`;

const server = spawn(binary, ['serve', '--transport', 'http', '--listen', '127.0.0.1:0', '--allow-origin', hostOrigin, '--log-format', 'json', '--offline'], {
  stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, HOME: scratch, HF_HUB_OFFLINE: '1' },
});
const address = await new Promise((resolve, reject) => {
  let seen = '';
  server.stderr.on('data', (d) => {
    seen += d;
    const m = seen.match(/"address":"([^"]+)"/);
    if (m) resolve(m[1]);
  });
  server.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${seen}`)));
});
const base = `http://${address}`;

// What the server says to somebody else who asks the same.
const ask = async (args) => {
  const r = await fetch(`${base}/mcp`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream', 'MCP-Protocol-Version': '2026-07-28', 'Mcp-Method': 'tools/call', 'Mcp-Name': 'plan_memory' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'plan_memory', arguments: args, _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' }, 'io.modelcontextprotocol/clientCapabilities': {} } } }),
  });
  const text = await r.text();
  const body = text.startsWith('{') ? text : text.split('\n').find((l) => l.startsWith('data:')).slice(5);
  return JSON.parse(body).result.structuredContent;
};
const gib = (n) => (n / 2 ** 30).toFixed(n / 2 ** 30 >= 100 ? 1 : 2) + ' GiB';

const browser = await puppeteer.launch({ executablePath: chromium, args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none'], userDataDir: join(scratch, 'profile') });
let failed = 1;
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on('pageerror', (e) => complaints.push(String(e)));
  page.on('console', (m) => { if (m.type() === 'error') complaints.push(m.text()); });
  page.on('request', (r) => { if (!r.url().startsWith(base) && !r.url().startsWith(hostOrigin) && !r.url().startsWith('about:')) complaints.push('asked ' + r.url()); });

  const shown = (f) => f.waitForSelector('main[aria-busy="false"]').then(() => f.evaluate(() => ({
    required: document.getElementById('required').textContent, verdict: document.getElementById('verdict').dataset.verdict,
    context: Number(document.getElementById('o-context').textContent.replaceAll(',', '')), sequences: Number(document.getElementById('o-sequences').textContent),
    cells: document.querySelectorAll('.cells b').length, terms: document.querySelectorAll('#terms tr').length,
  })));
  // A change of the view: it is awaited, and never slept for.
  const until = (f, was) => f.waitForFunction((w) => document.querySelector('main').getAttribute('aria-busy') === 'false' && document.getElementById('required').textContent !== w, {}, was);

  console.log('the page: a slider by keyboard, the same answer as anybody gets');
  await page.setViewport({ width: 800, height: 760 });
  await page.goto(`${base}/planner?model=openai/gpt-oss-20b&hardware=RTX%204090&engine=vllm&context_tokens=8192`);
  const first = await shown(page);
  assert.equal(first.verdict, 'fits');
  assert.equal(first.cells, 2 * 24);
  assert.ok(first.terms > 5);
  await page.focus('#f-context');
  for (let i = 0; i < 40; i++) await page.keyboard.press('ArrowRight');
  await page.focus('#f-sequences');
  for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowRight');
  await until(page, first.required);
  const second = await shown(page);
  assert.ok(second.context > first.context && second.sequences === 8, JSON.stringify(second));
  const same = await ask({ model: 'openai/gpt-oss-20b', hardware: 'RTX 4090', engine: 'vllm', context_tokens: second.context, sequences: second.sequences });
  assert.equal(second.required, gib(same.totals.required_bytes));
  assert.equal(second.verdict, same.verdict);

  console.log('the page: what cannot be planned is said, and a candidate helps');
  await page.$eval('#f-hardware', (e) => { e.value = 'RTX 4099'; e.dispatchEvent(new Event('change')); });
  await page.waitForSelector('#problem:not([hidden])');
  assert.equal(await page.$eval('#verdict', (e) => e.textContent), 'hardware not found');
  await page.click('#problem-candidates button');
  await page.waitForSelector('#problem[hidden]');

  console.log('the page: light and dark');
  for (const theme of ['light', 'dark']) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }, { name: 'prefers-reduced-motion', value: 'reduce' }]);
    await page.goto(`${base}/planner?model=openai/gpt-oss-20b&hardware=2x%20RTX%204090&engine=vllm&context_tokens=32768&sequences=4`);
    await shown(page);
    const shot = PNG.sync.read(Buffer.from(await page.screenshot()));
    const file = join(golden, `${theme}.png`);
    if (update === '--update') {
      writeFileSync(file, PNG.sync.write(shot));
      continue;
    }
    const want = PNG.sync.read(readFileSync(file));
    assert.deepEqual([shot.width, shot.height], [want.width, want.height]);
    const off = pixelmatch(shot.data, want.data, null, shot.width, shot.height, { threshold: 0.2 }) / (shot.width * shot.height);
    console.log(`  ${theme}: ${(100 * off).toFixed(2)} % of the pixels differ`);
    assert.ok(off < 0.04, `${theme}: ${(100 * off).toFixed(1)} % of the pixels differ`); // fonts differ between machines
  }

  console.log('a host: the app shows the result of the call, and calls the tool through the host');
  await page.goto(hostOrigin);
  const mime = await page.evaluate((url) => window.show(url, 'plan_memory', { model: 'Qwen/Qwen3-8B', hardware: 'RTX 4090', engine: 'vllm', context_tokens: 8192 }, 'dark'), `${base}/mcp`);
  assert.equal(mime, 'text/html;profile=mcp-app');
  const frame = await page.waitForFrame((f) => f !== page.mainFrame());
  const inFrame = await shown(frame);
  const told = await ask({ model: 'Qwen/Qwen3-8B', hardware: 'RTX 4090', engine: 'vllm', context_tokens: 8192 });
  assert.equal(inFrame.required, gib(told.totals.required_bytes));
  assert.equal(await frame.$eval('html', (e) => e.dataset.theme), 'dark');
  await page.evaluate(() => window.host.theme('light'));
  await frame.waitForSelector('html[data-theme="light"]');
  await frame.focus('#f-context');
  await frame.page().keyboard.press('End');
  await until(frame, inFrame.required);
  const full = await shown(frame);
  const most = await ask({ model: 'Qwen/Qwen3-8B', hardware: 'RTX 4090', engine: 'vllm', context_tokens: full.context, sequences: 1 });
  assert.equal(full.required, gib(most.totals.required_bytes));
  assert.equal(full.verdict, most.verdict);
  const heard = await page.evaluate(() => window.host);
  assert.ok(heard.sizes.some((h) => h > 300), JSON.stringify(heard));
  assert.ok(heard.contexts.length >= 2, JSON.stringify(heard));
  assert.ok(heard.contexts.at(-1).includes(full.required), heard.contexts.at(-1));

  assert.deepEqual(complaints, []);
  failed = 0;
} finally {
  await browser.close();
  server.kill();
  pages.close();
  rmSync(scratch, { recursive: true, force: true });
}
console.log('the planner does what it should');
process.exit(failed);
