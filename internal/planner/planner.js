'use strict';
// The controls: what they say becomes arguments of plan_memory, and the server
// plans. Nothing is computed here.

const offers = JSON.parse($('choices').textContent); // what the server knows: engines, hardware
const main = document.querySelector('main');
const embedded = window.parent !== window;
let args = {};          // of the plan that is shown or on its way
let weights = [], caches = [], longest = 1 << 20; // what the model and the engine allow, from the last answer

const host = embedded ? bridge({
  'ui/notifications/tool-input': p => { args = { ...p.arguments }; fill(); },
  'ui/notifications/tool-result': p => { show(p); replan(0, false); },
  'ui/notifications/tool-cancelled': p => fail({ code: 'cancelled', message: p.reason || 'the call was cancelled' }),
  'ui/notifications/host-context-changed': p => {
    const root = document.documentElement;
    if (p.theme) root.dataset.theme = p.theme;
    for (const [k, v] of Object.entries(p.styles?.variables ?? {})) if (v !== undefined) root.style.setProperty(k, v);
  },
}) : http();

// Planning: the last change wins. Answers to earlier ones are dropped.
let latest = 0, timer, abort;
function replan(delay = 90, chosen = true) {
  const turn = ++latest;
  clearTimeout(timer);
  abort?.abort();
  main.setAttribute('aria-busy', 'true');
  timer = setTimeout(async () => {
    abort = new AbortController();
    try {
      const result = await host.call('plan_memory', { ...args, detail: 'layers' }, abort.signal);
      if (turn !== latest) return;
      show(result);
      if (chosen && !result.isError) host.tell(`The person changed the plan to ${JSON.stringify(args)}.\n${result.content[0].text}`, result.structuredContent);
    } catch (e) {
      if (turn === latest) fail({ code: e instanceof Unauthorized ? 'unauthorized' : 'unreachable', message: e.message, hint: e instanceof Unauthorized ? '' : 'the server did not answer; change something to ask again' });
    }
    if (turn === latest) main.setAttribute('aria-busy', 'false');
  }, delay);
}

function show(result) {
  const answer = result.structuredContent ?? {};
  if (result.isError || !answer.totals) return fail(answer.code ? answer : { code: 'internal', message: result.content?.[0]?.text ?? 'an answer without a plan' });
  main.classList.remove('failed');
  $('problem').hidden = true;
  const allowed = result._meta?.['hwledger/choices'];
  if (allowed) ({ weights = [], kv_cache_dtype: caches = [], context_tokens: longest = 1 << 20 } = allowed);
  drawPlan(answer);
  fill(answer);
}

// fail shows the server's code, what was wrong, its hint, and candidates to
// choose from.
function fail(f) {
  main.classList.add('failed');
  main.setAttribute('aria-busy', 'false');
  $('verdict').textContent = f.code === 'unauthorized' ? 'Locked' : 'No plan';
  $('verdict').dataset.verdict = 'error';
  $('problem').hidden = false;
  $('problem-message').textContent = f.message;
  $('problem-code').textContent = f.code;
  $('problem-hint').textContent = f.hint ? `Next: ${f.hint}` : '';
  $('problem-candidates').replaceChildren(...(f.candidates ?? []).slice(0, 8).map(c => {
    const b = make('button', { type: 'button' }, c);
    b.onclick = () => change({ [f.field || 'model']: c });
    return b;
  }));
  $('token-form').hidden = f.code !== 'unauthorized';
}

// change merges arguments, undefined for a default, and plans.
function change(more) {
  args = JSON.parse(JSON.stringify({ ...args, ...more }));
  fill();
  if (!embedded) history.replaceState(null, '', '?' + new URLSearchParams(Object.entries(args).map(([k, v]) => [k, typeof v === 'string' ? v : JSON.stringify(v)])));
  replan();
}

// stops are the values of a slider: its position counts them, so that equal
// steps multiply.
const stops = { context: [], sequences: [] };
function setSlider(id, values, value, unit) {
  stops[id] = [...new Set([...values, value])].sort((a, b) => a - b);
  const slider = $(id);
  slider.max = stops[id].length - 1;
  slider.value = stops[id].indexOf(value);
  slider.setAttribute('aria-valuetext', `${count(value)} ${unit}`);
  if (document.activeElement !== $(id + '-exact')) $(id + '-exact').value = value;
}

function contexts() {
  const out = [];
  for (let k = 32; 2 ** (k / 4) < longest; k++) out.push(Math.round(2 ** (k / 4) / 256) * 256);
  return [...out.filter(n => n < longest), longest];
}
const crowds = Array.from({ length: 21 }, (_, k) => k % 2 ? 3 * 2 ** ((k - 1) / 2) : 2 ** (k / 2)).sort((a, b) => a - b);

function setSelect(id, options, value) {
  const known = options.some(([v]) => v === value) ? options : [...options, [value, value]];
  $(id).replaceChildren(...known.map(([v, text]) => make('option', { value: v }, text)));
  $(id).value = value;
}

// splitHardware reads "2x RTX 4090" when the list has the name.
function splitHardware(text) {
  const [, n, name] = /^(?:(\d+)\s*[x×]\s*)?(.*)$/is.exec(text);
  for (const group of offers.hardware) {
    const found = group.names.find(h => h.toLowerCase() === name.toLowerCase());
    if (found) return { count: Number(n ?? 1), name: found, single: group.single };
  }
}

// fill makes the controls say what args say, and for what args leave open what
// the plan used.
function fill(plan) {
  if (plan || !main.dataset.filled) {
    const used = plan?.engine ?? {};
    setSlider('context', contexts(), args.context_tokens ?? used.context_tokens ?? 8192, 'tokens');
    setSlider('sequences', crowds, args.sequences ?? used.sequences ?? 1, 'sequences');
  } else {
    setSlider('context', contexts(), args.context_tokens ?? stops.context[$('context').value], 'tokens');
    setSlider('sequences', crowds, args.sequences ?? stops.sequences[$('sequences').value], 'sequences');
  }
  main.dataset.filled = 'yes';
  setSelect('weights', [['auto', 'As stored'], ...weights.map(w => [w, w])], args.weights ?? 'auto');
  setSelect('kv', [['auto', 'Default'], ...caches.map(c => [c, c])], args.kv_cache_dtype ?? 'auto');
  setSelect('engine', [['', plan && !args.engine ? `Automatic (${plan.engine.name})` : 'Automatic'], ...offers.engines.map(e => [e, e])], args.engine ?? '');
  if (document.activeElement !== $('model-input')) $('model-input').value = args.model ?? '';
  $('model-field').hidden = args.config !== undefined;
  fillHardware();
  if (plan) suggest(plan);
}

function fillHardware() {
  const list = $('hardware'), h = args.hardware;
  const split = typeof h === 'string' ? splitHardware(h) : undefined;
  if (!list.options.length) {
    list.append(make('option', { value: '' }, 'None: sizes only'), ...offers.hardware.map(g => make('optgroup', { label: g.label }, ...g.names.map(n => make('option', { value: n }, n)))));
  }
  list.querySelector('[value="*"]')?.remove();
  if (h !== undefined && !split) { // as it was asked for, in words that the list does not have
    list.options[0].after(make('option', { value: '*' }, typeof h === 'string' ? h : `${h.count > 1 ? h.count + ' × ' : ''}${size(h.memory_bytes)}`));
    list.value = '*';
  } else {
    list.value = split?.name ?? '';
  }
  $('count').disabled = !split || split.single;
  if (document.activeElement !== $('count')) $('count').value = split?.count ?? 1;
}

function suggest(plan) {
  const list = plan.suggestions ?? [];
  $('suggestions').hidden = !list.length;
  $('suggestions').lastElementChild.replaceChildren(...list.slice(0, 4).map(s => {
    const b = make('button', { type: 'button' }, s.change[0].toUpperCase() + s.change.slice(1), make('small', {}, `${size(s.required_bytes)}${plan.devices.length > 1 || 'hardware' in s.arguments ? ' in all' : ''}`));
    b.onclick = () => change(s.arguments);
    return b;
  }));
}

for (const [id, argument] of [['context', 'context_tokens'], ['sequences', 'sequences']]) {
  $(id).oninput = () => change({ [argument]: stops[id][$(id).value] });
  $(id + '-exact').oninput = e => { if (e.target.validity.valid && e.target.value) change({ [argument]: Number(e.target.value) }); };
}
$('weights').onchange = e => change({ weights: e.target.value === 'auto' ? undefined : e.target.value });
$('kv').onchange = e => change({ kv_cache_dtype: e.target.value === 'auto' ? undefined : e.target.value });
// Schemes and cache types are an engine's own.
$('engine').onchange = e => change({ engine: e.target.value || undefined, engine_version: undefined, weights: undefined, kv_cache_dtype: undefined, flags: undefined });
const chooseHardware = () => {
  const name = $('hardware').value, n = Number($('count').value);
  if (name === '*') return;
  const single = name && splitHardware(name).single;
  // Ranks follow the number of devices.
  change({ hardware: name ? (n > 1 && !single ? `${n}x ${name}` : name) : undefined, tensor_parallel: undefined, pipeline_parallel: undefined, data_parallel: undefined });
};
$('hardware').onchange = chooseHardware;
$('count').oninput = e => { if (e.target.validity.valid && e.target.value) chooseHardware(); };
$('model-input').onchange = e => { if (e.target.value.trim()) change({ model: e.target.value.trim(), weights: undefined, kv_cache_dtype: undefined }); };
$('controls').onsubmit = e => e.preventDefault();
$('token-form').onsubmit = e => {
  e.preventDefault();
  sessionStorage.setItem('hwledger-token', $('token').value.trim());
  $('token').value = '';
  replan(0);
};

// Names to choose from while one is typed.
let searching;
$('model-input').oninput = e => {
  const query = e.target.value.trim();
  clearTimeout(searching);
  if (query.length > 1) searching = setTimeout(() => host.call('search_models', { query, limit: 10 }).then(r => {
    if (query === $('model-input').value.trim()) $('models').replaceChildren(...(r.structuredContent?.models ?? []).map(m => make('option', { value: m.reference })));
  }).catch(() => {}), 250); // without names one types them
};

host.start().then(() => {
  if (embedded) return;
  for (const [k, v] of new URLSearchParams(location.search)) {
    try { args[k] = JSON.parse(v); } catch { args[k] = v; }
  }
  fill();
  if (args.model || args.config) return replan(0);
  main.setAttribute('aria-busy', 'false');
  $('verdict').textContent = 'Name a model';
  $('model-input').focus();
}).catch(e => fail({ code: 'unreachable', message: e.message }));
fill();
