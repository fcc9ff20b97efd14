'use strict';
// The planner: it shows plan_memory's answers and asks the server again when a
// control moves. It computes nothing of its own. In a chat it speaks MCP Apps
// over postMessage with its host, on a page of its own MCP over HTTP.
(() => {
  const $ = (id) => document.getElementById(id);
  const tool = 'plan_memory';
  const embedded = window.parent !== window;
  const parts = ['weights', 'kv_cache', 'state', 'workspace', 'runtime'];
  const partNames = { weights: 'Weights', kv_cache: 'KV cache', state: 'State', workspace: 'Workspace', runtime: 'Runtime' };
  const verdicts = { fits: 'Fits', tight: 'Tight', does_not_fit: 'Does not fit', unknown: 'No hardware named' };
  const engines = ['vllm', 'sglang', 'tgi', 'tensorrt-llm', 'llama.cpp', 'ollama', 'lmstudio', 'mistral.rs', 'mlx', 'transformers', 'ideal'];
  const weights = ['bf16', 'fp8', 'int8', 'awq', 'gptq', 'nf4', 'mxfp4', 'nvfp4', 'mlx-4bit', 'Q8_0', 'Q6_K', 'Q5_K_M', 'Q4_K_M', 'Q3_K_M', 'Q2_K'];
  const caches = ['bf16', 'fp8', 'q8_0', 'q5_1', 'q4_0'];
  const leastContext = 256, mostContext = 1 << 20;

  // What the server is asked: the arguments that came with the first call, and
  // what the controls changed since.
  let asked = {};
  let serial = 0;

  const bytes = (n) => {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let i = 0;
    for (; Math.abs(n) >= 1024 && i < units.length - 1; i++) n /= 1024;
    return (i === 0 ? String(n) : n.toFixed(n >= 100 ? 1 : 2)) + ' ' + units[i];
  };
  const count = (n) => n.toLocaleString('en-US');
  const make = (tag, attrs, ...inner) => {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(attrs || {})) {
      if (k === 'part') e.style.setProperty('--part', `var(--${v})`);
      else if (v !== undefined) e.setAttribute(k, v);
    }
    e.append(...inner);
    return e;
  };
  const fill = (id, ...inner) => $(id).replaceChildren(...inner);

  // --- the two ways to the server ---

  const rpc = { next: 1, waiting: new Map() };
  const post = (m) => window.parent.postMessage({ jsonrpc: '2.0', ...m }, '*');
  const request = (method, params) => new Promise((resolve, reject) => {
    const id = rpc.next++;
    rpc.waiting.set(id, { resolve, reject });
    post({ id, method, params });
  });

  let token = '';
  const overHTTP = async (args) => {
    const meta = {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'hwledger-planner', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {},
    };
    const headers = {
      'Content-Type': 'application/json', Accept: 'application/json, text/event-stream',
      'MCP-Protocol-Version': '2026-07-28', 'Mcp-Method': 'tools/call', 'Mcp-Name': tool,
    };
    if (token) headers.Authorization = 'Bearer ' + token;
    const answer = await fetch('/mcp', {
      method: 'POST', headers,
      body: JSON.stringify({ jsonrpc: '2.0', id: rpc.next++, method: 'tools/call', params: { name: tool, arguments: args, _meta: meta } }),
    });
    if (answer.status === 401) {
      $('sign-in').hidden = false;
      $('f-token').focus();
      throw new Error('the server asks for a token');
    }
    const text = await answer.text();
    if (!answer.ok) throw new Error(text.slice(0, 200) || 'HTTP ' + answer.status);
    let message;
    if ((answer.headers.get('Content-Type') || '').startsWith('text/event-stream')) {
      for (const line of text.split('\n')) {
        if (!line.startsWith('data:')) continue;
        const m = JSON.parse(line.slice(5));
        if (m.result || m.error) message = m;
      }
    } else {
      message = JSON.parse(text);
    }
    if (!message || message.error) throw new Error(message ? message.error.message : 'no answer');
    return message.result;
  };
  const call = (args) => embedded ? request('tools/call', { name: tool, arguments: args }) : overHTTP(args);

  // --- asking ---

  const argumentsNow = () => {
    const a = { ...asked, detail: 'layers' };
    delete a.picture;
    for (const k of Object.keys(a)) if (a[k] === '' || a[k] === 'auto') delete a[k];
    return a;
  };

  const plan = async () => {
    const mine = ++serial;
    document.querySelector('main').setAttribute('aria-busy', 'true');
    let result, lost;
    try {
      result = await call(argumentsNow());
    } catch (e) {
      lost = e;
    }
    if (mine !== serial) return; // a newer question was asked
    if (lost) fail({ message: String(lost.message || lost) });
    else show(result);
  };

  let timer;
  const change = (more) => {
    Object.assign(asked, more);
    clearTimeout(timer);
    timer = setTimeout(plan, 120);
  };

  // --- showing ---

  const done = () => document.querySelector('main').setAttribute('aria-busy', 'false');

  const show = (result) => {
    const a = result.structuredContent;
    if (result.isError || !a) {
      const text = (result.content || []).filter((c) => c.type === 'text').map((c) => c.text).join('\n');
      fail(a || { message: text || 'the server gave no answer' });
      return;
    }
    if (!a.terms || !a.layers) { // the first call asked for less
      follow(a);
      plan();
      return;
    }
    $('problem').hidden = true;
    follow(a);
    head(a);
    devices(a);
    advice(a);
    speed(a);
    heat(a);
    terms(a);
    done();
    if (embedded && host.updates) request('ui/update-model-context', { content: [{ type: 'text', text: summary(a) }] }).catch(() => {});
  };

  const fail = (f) => {
    done();
    $('verdict').dataset.verdict = 'error';
    $('verdict').textContent = f.code ? f.code.replaceAll('_', ' ') : 'Error';
    $('problem').hidden = false;
    $('problem-message').textContent = f.message;
    $('problem-hint').textContent = f.hint || '';
    const field = { model: 'model', hardware: 'hardware', engine: 'engine', weights: 'weights', kv_cache_dtype: 'kv_cache_dtype' }[f.field];
    fill('problem-candidates', ...(field ? f.candidates || [] : []).map((c) => chip(c, { [field]: c })));
  };

  const chip = (text, args) => {
    const b = make('button', { type: 'button' }, text);
    b.addEventListener('click', () => { change(args); controls(); });
    return b;
  };

  const head = (a) => {
    $('model').textContent = a.model.reference.replace(/^catalog:/, '');
    const tokens = a.engine.context_tokens ? `, ${count(a.engine.context_tokens)} tokens` : '';
    $('engine-line').textContent = `${a.engine.name} ${a.engine.version}, ${count(a.engine.sequences)} ${a.engine.sequences === 1 ? 'sequence' : 'sequences'}${tokens}`;
    $('verdict').dataset.verdict = a.verdict;
    $('verdict').textContent = verdicts[a.verdict] || a.verdict;
    $('required').textContent = bytes(a.totals.required_bytes);
    $('range').textContent = a.totals.low_bytes < a.totals.high_bytes ? `between ${bytes(a.totals.low_bytes)} and ${bytes(a.totals.high_bytes)}` : 'exactly, by the engine’s rules';
  };

  const summary = (a) => `The planner shows: ${$('model').textContent} on ${asked.hardware || 'no named hardware'}, ${$('engine-line').textContent}: ` +
    `${$('verdict').textContent}, ${$('required').textContent} (${$('range').textContent}).`;

  // ends are how far the terms on device i may be below and above what they
  // are planned with.
  const ends = (a, i) => {
    let low = 0, high = 0;
    for (const t of a.terms) {
      if (t.high_bytes === undefined || !(t.on || []).includes(i)) continue;
      low += t.bytes - (t.low_bytes || 0);
      high += t.high_bytes - t.bytes;
    }
    return [low, high];
  };

  const devices = (a) => {
    const rows = a.devices.map((d, i) => ({ ...d, ends: ends(a, i), label: `${d.name || 'Device'}${a.devices.length > 1 ? ' ' + i : ''}` }));
    if (a.host && a.host.required_bytes > 0) rows.push({ ...a.host, ends: [0, 0], label: a.host.name || 'Host memory' });
    if (!rows.length) rows.push({ ...a.totals, ends: [0, 0], label: 'All together' });
    const scale = Math.max(...rows.map((d) => Math.max(d.total_bytes || 0, d.required_bytes))) * 1.02;
    const at = (n) => (100 * n / scale).toFixed(3) + '%';
    fill('devices', ...same(rows).map((d) => {
      const bar = make('div', { class: 'bar', role: 'img' });
      let from = 0;
      const words = [];
      for (const p of parts) {
        const n = d[p + '_bytes'];
        if (!n) continue;
        const i = make('i', { 'data-part': p, part: p, title: `${partNames[p]} ${bytes(n)}` });
        i.style.left = at(from);
        i.style.width = at(n);
        bar.append(i);
        words.push(`${partNames[p]} ${bytes(n)}`);
        from += n;
      }
      const low = d.required_bytes - d.ends[0], high = d.required_bytes + d.ends[1];
      if (low < high) {
        const i = make('i', { class: 'spread', title: `between ${bytes(low)} and ${bytes(high)}` });
        i.style.left = at(low);
        i.style.width = at(Math.min(high, scale) - low);
        bar.append(i);
        words.push(`between ${bytes(low)} and ${bytes(high)}`);
      }
      let right = bytes(d.required_bytes);
      if (d.usable_bytes !== undefined) {
        const limit = d.usable_bytes + (d.outside_budget_bytes || 0);
        const i = make('i', { class: 'limit', title: `usable: ${bytes(limit)}` });
        i.style.left = at(limit);
        bar.append(i);
        right += ` of ${bytes(limit)}`;
        words.push(`usable ${bytes(limit)}`);
      }
      bar.setAttribute('aria-label', `${d.label}: ${words.join(', ')}`);
      return make('div', { class: 'device' }, make('div', { class: 'name' }, make('span', {}, d.label), make('span', {}, right)), bar);
    }));
    fill('legend', ...parts.filter((p) => a.totals[p + '_bytes'] > 0).map((p) =>
      make('li', { 'data-term': p }, make('span', { part: p }), `${partNames[p]} ${bytes(a.totals[p + '_bytes'])}`)));
  };

  // same joins devices in a row that take the same.
  const same = (rows) => {
    const out = [];
    for (const d of rows) {
      const last = out[out.length - 1];
      if (last && last.name === d.name && last.required_bytes === d.required_bytes && last.usable_bytes === d.usable_bytes) {
        last.n++;
        last.label = `${last.n} × ${d.name || 'device'}, each`;
      } else {
        out.push({ ...d, n: 1 });
      }
    }
    return out;
  };

  const advice = (a) => {
    const fits = (a.suggestions || []).filter((s) => s.fits);
    $('advice').hidden = !fits.length;
    fill('suggestions', ...fits.map((s) => chip(`${s.change} (${bytes(s.required_bytes)})`, s.arguments)));
  };

  const speed = (a) => {
    const t = a.throughput;
    $('speed').hidden = !t;
    if (!t) return;
    const rows = [['Each sequence', t.per_user_tokens_per_second, 'tokens/s'], ['All together', t.decode_tokens_per_second, 'tokens/s'],
      ['Prompt', t.prefill_tokens_per_second, 'tokens/s'], ['First token', t.time_to_first_token_ms, 'ms']];
    fill('rates', ...rows.filter((r) => r[1]).map(([name, r, unit]) =>
      make('div', {}, make('dt', {}, name), make('dd', { title: 'bound by ' + r.bound_by }, `${count(r.low)} – ${count(r.high)} ${unit}`))));
  };

  const heat = (a) => {
    $('layers').hidden = !a.layers.length;
    const words = (l) => `Layer ${l.index}: ${l.mixer}, ${l.feed_forward}; weights ${bytes(l.weights_bytes)}, cache ${bytes(l.cache_bytes)}`;
    const kinds = Object.entries(a.model.layers || {}).map(([k, n]) => `${n} ${k}`).join(', ');
    $('heat-note').textContent = kinds;
    const row = (name, part, field) => {
      const most = Math.max(...a.layers.map((l) => l[field]), 1);
      const cells = make('div', { class: 'cells', tabindex: '0', role: 'listbox', 'aria-label': `${name} of each layer; arrow keys move` });
      let here = -1;
      const go = (i) => {
        if (here >= 0) { cells.children[here].classList.remove('here'); cells.children[here].setAttribute('aria-selected', 'false'); }
        here = Math.max(0, Math.min(a.layers.length - 1, i));
        cells.children[here].classList.add('here');
        cells.children[here].setAttribute('aria-selected', 'true');
        $('heat-note').textContent = words(a.layers[here]);
      };
      for (const [i, l] of a.layers.entries()) {
        const b = make('b', { part, title: words(l), role: 'option', 'aria-selected': 'false', 'aria-label': words(l) });
        b.style.setProperty('--share', Math.round(15 + 85 * l[field] / most) + '%');
        if (!l[field]) b.classList.add('none');
        b.addEventListener('pointerenter', () => { $('heat-note').textContent = words(l); });
        b.addEventListener('pointerleave', () => { $('heat-note').textContent = here < 0 ? kinds : words(a.layers[here]); });
        b.addEventListener('click', () => go(i));
        cells.append(b);
      }
      cells.addEventListener('keydown', (e) => {
        const step = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: a.layers.length - 1 }[e.key];
        if (step === undefined) return;
        e.preventDefault();
        go(step);
      });
      return make('div', { class: 'heat-row' }, make('span', {}, name), cells);
    };
    fill('heat', row('Weights', 'weights', 'weights_bytes'), row('Cache', 'kv_cache', 'cache_bytes'));
  };

  const terms = (a) => {
    fill('terms', ...a.terms.map((t) => make('tr', {},
      make('td', {}, make('span', { class: 'dot', part: parts.includes(t.category) ? t.category : 'runtime' }), t.name, make('small', {}, t.formula)),
      make('td', { class: 'n' }, bytes(t.bytes)),
      make('td', { class: 'n' }, t.high_bytes > (t.low_bytes || 0) ? `${bytes(t.low_bytes || 0)} – ${bytes(t.high_bytes)}` : ''),
      make('td', { title: t.source }, t.confidence))));
    fill('assumed', ...a.engine.assumed.map((x) => make('li', {}, `${x.field} = ${x.value}: ${x.why}`)), ...(a.notes || []).map((n) => make('li', {}, n)));
  };

  // --- the controls ---

  const contextOf = (v) => {
    const n = leastContext * Math.pow(mostContext / leastContext, v / 1000);
    const step = Math.pow(2, Math.max(0, Math.floor(Math.log2(n)) - 4));
    return Math.round(n / step) * step;
  };
  const positionOf = (n) => Math.round(1000 * Math.log(n / leastContext) / Math.log(mostContext / leastContext));

  const choices = (id, list, value) => {
    const all = list.includes(value) || !value || value === 'auto' ? list : [value, ...list];
    fill(id, make('option', { value: 'auto' }, 'auto'), ...all.map((x) => make('option', { value: x }, x)));
    $(id).value = value || 'auto';
  };

  // follow takes over what an answer says was planned, where no control has a
  // value yet.
  const follow = (a) => {
    if (asked.model === undefined && asked.config === undefined) asked.model = a.model.reference;
    if (asked.context_tokens === undefined && a.engine.context_tokens) asked.context_tokens = a.engine.context_tokens;
    if (asked.sequences === undefined) asked.sequences = a.engine.sequences;
    controls();
  };

  const set = (id, value) => { if (document.activeElement !== $(id)) $(id).value = value; };
  const labels = () => {
    $('o-context').textContent = asked.context_tokens ? count(asked.context_tokens) : 'auto';
    $('o-sequences').textContent = count(asked.sequences || 1);
    $('f-context').setAttribute('aria-valuetext', `${$('o-context').textContent} tokens`);
    $('f-sequences').setAttribute('aria-valuetext', `${$('o-sequences').textContent} sequences`);
  };
  const controls = () => {
    set('f-model', (asked.model || '').replace(/^catalog:/, ''));
    $('f-model').disabled = asked.config !== undefined;
    set('f-hardware', typeof asked.hardware === 'string' ? asked.hardware : asked.hardware ? JSON.stringify(asked.hardware) : '');
    choices('f-engine', engines, asked.engine);
    choices('f-weights', weights, asked.weights);
    choices('f-kv', caches, asked.kv_cache_dtype);
    if (asked.context_tokens) set('f-context', positionOf(asked.context_tokens));
    set('f-sequences', Math.round(Math.log2(asked.sequences || 1)));
    labels();
  };

  const object = (s) => { try { return s.startsWith('{') ? JSON.parse(s) : s; } catch { return s; } };
  $('f-model').addEventListener('change', (e) => change({ model: e.target.value.trim(), context_tokens: asked.context_tokens }));
  $('f-hardware').addEventListener('change', (e) => change({ hardware: object(e.target.value.trim()) }));
  $('f-engine').addEventListener('change', (e) => change({ engine: e.target.value, engine_version: undefined }));
  $('f-weights').addEventListener('change', (e) => change({ weights: e.target.value }));
  $('f-kv').addEventListener('change', (e) => change({ kv_cache_dtype: e.target.value }));
  $('f-context').addEventListener('input', (e) => { change({ context_tokens: contextOf(Number(e.target.value)) }); labels(); });
  $('f-sequences').addEventListener('input', (e) => { change({ sequences: 2 ** Number(e.target.value) }); labels(); });
  $('controls').addEventListener('submit', (e) => e.preventDefault());
  $('sign-in').addEventListener('submit', (e) => {
    e.preventDefault();
    token = $('f-token').value.trim();
    $('sign-in').hidden = true;
    plan();
  });

  // --- where it runs ---

  const theme = (name) => { document.documentElement.dataset.theme = name; };
  const dark = matchMedia('(prefers-color-scheme: dark)');
  theme(dark.matches ? 'dark' : 'light');
  const host = { updates: false, themed: false };
  dark.addEventListener('change', () => { if (!host.themed) theme(dark.matches ? 'dark' : 'light'); });

  const context = (c) => {
    if (c && (c.theme === 'dark' || c.theme === 'light')) { host.themed = true; theme(c.theme); }
  };

  const told = {
    'ui/notifications/tool-input': (p) => { asked = { ...(p.arguments || {}) }; serial++; controls(); },
    'ui/notifications/tool-result': (p) => { serial++; show(p); },
    'ui/notifications/tool-cancelled': (p) => fail({ message: p.reason || 'the call was cancelled' }),
    'ui/notifications/host-context-changed': context,
  };

  const join = async () => {
    window.addEventListener('message', (e) => {
      const m = e.data;
      if (e.source !== window.parent || !m || m.jsonrpc !== '2.0') return;
      if (m.method && m.id !== undefined) { // ping and ui/resource-teardown: there is nothing to keep
        const known = m.method === 'ping' || m.method === 'ui/resource-teardown';
        post(known ? { id: m.id, result: {} } : { id: m.id, error: { code: -32601, message: 'method not found' } });
      } else if (m.method) {
        const f = told[m.method];
        if (f) f(m.params || {});
      } else if (rpc.waiting.has(m.id)) {
        const w = rpc.waiting.get(m.id);
        rpc.waiting.delete(m.id);
        if (m.error) w.reject(new Error(m.error.message)); else w.resolve(m.result);
      }
    });
    const r = await request('ui/initialize', { protocolVersion: '2026-01-26', appInfo: { name: 'hwledger-planner', version: '1' }, appCapabilities: {} });
    context(r.hostContext);
    host.updates = !!(r.hostCapabilities && r.hostCapabilities.updateModelContext);
    post({ method: 'ui/notifications/initialized' });
    new ResizeObserver(() => {
      const e = document.documentElement;
      post({ method: 'ui/notifications/size-changed', params: { width: e.scrollWidth, height: Math.ceil(e.getBoundingClientRect().height) } });
    }).observe(document.documentElement);
  };

  controls();
  if (embedded) {
    join().catch((e) => fail({ message: String(e.message || e) }));
  } else {
    const q = new URLSearchParams(location.search);
    asked = { model: 'Qwen/Qwen3-8B', hardware: 'RTX 4090' };
    for (const k of ['model', 'hardware', 'engine', 'weights', 'kv_cache_dtype']) if (q.get(k)) asked[k] = q.get(k);
    for (const k of ['context_tokens', 'sequences']) if (Number(q.get(k)) > 0) asked[k] = Number(q.get(k));
    controls();
    plan();
  }
})();
