'use strict';
// Drawing a plan. Everything is text nodes and attributes: what a server says
// is never markup.

const parts = { weights: 'Weights', kv_cache: 'KV cache', state: 'State', workspace: 'Workspace', runtime: 'Runtime' };
const verdicts = { fits: 'Fits', tight: 'Tight', does_not_fit: 'Does not fit', unknown: 'Size only' };
const $ = id => document.getElementById(id);

// make returns an element with attributes and children.
function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) if (v !== undefined) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

function svg(tag, attributes, text = '') {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.textContent = text;
  return e;
}

// fixed rounds halves to even, as the server does.
function fixed(x, digits) {
  const scaled = x * 10 ** digits, down = Math.floor(scaled);
  return (scaled - down === 0.5 && down % 2 === 0 ? down / 10 ** digits : x).toFixed(digits);
}

// size writes bytes as the server's text does.
function size(n) {
  for (const [unit, power, digits] of [['TiB', 40, 2], ['GiB', 30, 2], ['MiB', 20, 1], ['KiB', 10, 1]]) {
    if (Math.abs(n) >= 2 ** power) return `${fixed(n / 2 ** power, digits)} ${unit}`;
  }
  return `${n} B`;
}

const count = n => n.toLocaleString('en-US');
const counted = (n, one, more) => `${count(n)} ${n === 1 ? one : more}`;
const span = (low, high) => low === high ? size(low) : `${size(low)} – ${size(high)}`;
const short = n => n >= 1e12 ? (n / 1e12).toFixed(2) + ' T' : n >= 1e9 ? (n / 1e9).toFixed(2) + ' B' : n >= 1e6 ? (n / 1e6).toFixed(1) + ' M' : count(n);

// devicesOf groups equal neighbours, and adds to each its terms, its range and
// its limit: what it may need before it is too much.
function devicesOf(plan) {
  const out = [];
  const add = (device, on) => {
    const terms = (plan.terms ?? []).filter(t => on < 0 ? !t.on : t.on?.includes(on));
    const sum = f => terms.reduce((s, t) => s + f(t), 0);
    const ranged = t => t.low_bytes === undefined && t.high_bytes === undefined;
    const d = {
      ...device, n: 1, terms,
      low: sum(t => ranged(t) ? t.bytes : t.low_bytes ?? 0), high: sum(t => ranged(t) ? t.bytes : t.high_bytes ?? 0),
      limit: device.usable_bytes === undefined ? undefined : device.usable_bytes + (device.outside_budget_bytes ?? 0),
    };
    if (!terms.length) d.low = d.high = d.required_bytes;
    const before = out.at(-1);
    if (before && before.name === d.name && before.limit === d.limit && Object.keys(parts).every(p => before[p + '_bytes'] === d[p + '_bytes'])) before.n++;
    else out.push(d);
  };
  plan.devices.forEach(add);
  if (plan.host?.required_bytes) add({ ...plan.host, name: 'System memory' }, -1);
  return out;
}

// fullest is the device that decides.
const fullest = devices => devices.reduce((a, b) => (b.headroom_bytes ?? Infinity) < (a.headroom_bytes ?? Infinity) || a.limit === undefined && b.required_bytes > a.required_bytes ? b : a);

function drawSum(plan, devices) {
  const d = devices.length ? fullest(devices) : undefined, n = plan.devices.length;
  const required = d ? d.required_bytes : plan.totals.required_bytes;
  $('required').value = required;
  $('required').textContent = size(required);
  $('required').title = `${count(required)} bytes`;
  $('of').textContent = (d?.limit === undefined ? 'needed' : `of ${size(d.usable_bytes)} usable`) + (n > 1 ? ` on the fullest of ${n} devices` : '');
  $('room').textContent = d?.headroom_bytes === undefined ? 'Choose hardware for a verdict.' : (d.headroom_bytes < 0 ? `${size(-d.headroom_bytes)} too much` : `${size(d.headroom_bytes)} left`) + (d.outside_budget_bytes ? `; ${size(d.outside_budget_bytes)} lies outside the engine’s budget` : '');
  const [low, high] = d ? [d.low, d.high] : [plan.totals.low_bytes, plan.totals.high_bytes];
  $('range').textContent = (low === high ? 'Known exactly' : `Between ${size(low)} and ${size(high)}`) + (n > 1 ? `; ${size(plan.totals.required_bytes)} in all` : '');
  drawGauge(d && d.limit > 0 ? d : undefined);
}

// drawGauge shows the share of the limit: a solid arc to the low end of the
// range, a pale one to its high end. The scale ends at 125 %.
function drawGauge(d) {
  const gauge = $('gauge'), end = 1.25, r = 50;
  const at = share => { const a = Math.PI * (1 - Math.min(share, end) / end); return [60 + r * Math.cos(a), 62 - r * Math.sin(a)]; };
  const arc = (from, to) => { const [x, y] = at(from), [u, v] = at(to); return `M${x.toFixed(2)} ${y.toFixed(2)}A${r} ${r} 0 0 1 ${u.toFixed(2)} ${v.toFixed(2)}`; };
  gauge.replaceChildren(svg('path', { class: 'track', d: arc(0, end) }));
  if (!d) {
    gauge.append(svg('text', { x: 60, y: 58 }, '–'), svg('text', { class: 'small', x: 60, y: 71 }, 'no hardware'));
    gauge.setAttribute('aria-label', 'No hardware to fit into');
    return;
  }
  const share = d.required_bytes / d.limit, percent = `${Math.round(share * 100)} %`;
  gauge.append(svg('path', { class: 'band', d: arc(d.low / d.limit, d.high / d.limit) }), svg('path', { class: 'fill', d: arc(0, d.low / d.limit) }));
  const [x, y] = at(1), out = f => [60 + (x - 60) * f, 62 + (y - 62) * f];
  const [a, b] = out(0.86), [c, e] = out(1.16);
  gauge.append(svg('path', { class: 'limit', d: `M${a} ${b}L${c} ${e}` }), svg('text', { x: 60, y: 58 }, percent), svg('text', { class: 'small', x: 60, y: 71 }, 'of usable'));
  gauge.setAttribute('aria-label', `${percent} of what is usable, range ${Math.round(d.low / d.limit * 100)} to ${Math.round(d.high / d.limit * 100)} %`);
}

function drawBars(plan, devices) {
  const whole = Math.max(...devices.map(d => Math.max(d.high, d.required_bytes, d.limit ?? 0)), 1);
  const percent = n => `${n / whole * 100}%`;
  $('bars').replaceChildren(...devices.map(d => {
    const segments = make('div', { class: 'parts' });
    for (const part of Object.keys(parts)) {
      const terms = d.terms.filter(t => t.category === part && t.bytes > 0);
      for (const t of terms.length ? terms : [{ name: parts[part], bytes: d[part + '_bytes'] }]) {
        if (!t.bytes) continue;
        const s = make('span', { 'data-part': part, title: `${t.name}: ${size(t.bytes)}` });
        s.style.width = percent(t.bytes);
        segments.append(s);
      }
    }
    const label = Object.keys(parts).filter(p => d[p + '_bytes']).map(p => `${parts[p]} ${size(d[p + '_bytes'])}`).join(', ');
    const bar = make('div', { class: 'bar', role: 'img', 'aria-label': `${d.name || 'Device'}: ${label}${d.limit === undefined ? '' : `, of ${size(d.limit)} usable`}; range ${span(d.low, d.high)}` }, segments);
    if (d.high > d.low) {
      const spread = make('div', { class: 'spread', title: `Range: ${span(d.low, d.high)}` });
      spread.style.left = percent(d.low);
      spread.style.width = percent(d.high - d.low);
      bar.append(spread);
    }
    const axis = make('div', { class: 'axis', 'aria-hidden': 'true' });
    if (d.limit !== undefined) {
      if (d.required_bytes > d.limit) {
        const over = make('div', { class: 'over' });
        over.style.left = percent(d.limit);
        over.style.width = percent(d.required_bytes - d.limit);
        bar.append(over);
      }
      const mark = make('div', { class: 'mark' });
      mark.style.left = percent(d.limit);
      bar.append(mark);
      const text = make('span', {}, `${size(d.usable_bytes)} usable`);
      d.limit / whole > 0.5 ? text.style.right = percent(whole - d.limit) : text.style.left = percent(d.limit);
      axis.append(text);
    }
    const name = (d.n > 1 ? `${d.n} × ` : '') + (d.name || 'One device, any size');
    return make('div', { class: 'device' }, make('p', {}, make('span', {}, name), make('span', { class: 'quiet' }, size(d.required_bytes) + (d.n > 1 ? ' each' : ''))), bar, axis);
  }));
  const items = Object.keys(parts).filter(p => plan.totals[p + '_bytes']).map(p => make('li', { 'data-part': p }, make('i'), `${parts[p]} ${size(plan.totals[p + '_bytes'])}`));
  if (plan.totals.low_bytes !== plan.totals.high_bytes) items.push(make('li', {}, make('i', { class: 'spread' }), `range ${span(plan.totals.low_bytes, plan.totals.high_bytes)}`));
  $('legend').replaceChildren(...items);
}

// drawLayers shows one cell for each layer: weights above, cache below.
function drawLayers(layers) {
  $('heat').hidden = !layers?.length;
  if (!layers?.length) return;
  const most = f => Math.max(...layers.map(f), 1), w = most(l => l.weights_bytes), c = most(l => l.cache_bytes);
  const cell = (part, bytes, of) => {
    const i = make('i', { 'data-part': part, class: bytes ? undefined : 'none' });
    i.style.setProperty('--v', bytes / of);
    return i;
  };
  const text = l => `Layer ${l.index}: ${l.mixer}, ${l.feed_forward}; weights ${size(l.weights_bytes)}, cache ${size(l.cache_bytes)}`;
  const box = $('layers'), rows = Math.ceil(layers.length / 40); // equally long ones
  box.style.gridTemplateColumns = `repeat(${Math.ceil(layers.length / rows)}, minmax(0, 18px))`;
  box.replaceChildren(...layers.map(l => make('div', { role: 'option', id: `layer-${l.index}`, 'aria-label': text(l), title: text(l), 'aria-selected': 'false' }, cell('weights', l.weights_bytes, w), cell('kv_cache', l.cache_bytes, c))));
  $('scale-weights').textContent = `0 to ${size(w)}`;
  $('scale-cache').textContent = c > 1 ? `0 to ${size(c)}` : 'none';
  const kinds = Object.entries(Object.groupBy(layers, l => l.mixer)).map(([k, v]) => `${v.length} ${k}`).join(', ');
  const rest = `${counted(layers.length, 'layer', 'layers')}: ${kinds}. Arrow keys walk through them.`;
  $('layer-readout').textContent = rest;
  const select = i => {
    box.querySelector('[aria-selected=true]')?.setAttribute('aria-selected', 'false');
    box.removeAttribute('aria-activedescendant');
    if (layers[i]) {
      box.children[i].setAttribute('aria-selected', 'true');
      box.setAttribute('aria-activedescendant', box.children[i].id);
    }
    $('layer-readout').textContent = layers[i] ? text(layers[i]) : rest;
  };
  let now = -1;
  box.onkeydown = e => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[e.key];
    if (!step) return;
    e.preventDefault();
    select(now = Math.min(Math.max(now + step, 0), layers.length - 1));
  };
  box.onblur = () => select(now = -1);
  box.onpointerover = e => { const cell = e.target.closest('[role=option]'); if (cell) select([...box.children].indexOf(cell)); };
  box.onpointerleave = () => select(now);
}

function drawFigures(plan) {
  const c = plan.cache, t = plan.throughput, rows = [];
  const row = (name, value) => rows.push(make('div', {}, make('dt', {}, name), make('dd', {}, value)));
  const rate = (r, unit) => `${Number(r.low.toPrecision(3))} – ${Number(r.high.toPrecision(3))} ${unit}`;
  if (c.per_sequence_bytes) row('Cache of a sequence', size(c.per_sequence_bytes));
  if (c.marginal_bytes_per_token) row('Each further token', size(c.marginal_bytes_per_token));
  if (c.pool_bytes) row('Pool the engine takes', size(c.pool_bytes));
  if (c.capacity_tokens) row('Pool holds', `${count(c.capacity_tokens)} tokens`);
  if (c.max_concurrency) row('At this length', `${fixed(c.max_concurrency, 2)} sequences`);
  if (t) {
    row('Decoding, estimated', rate(t.decode_tokens_per_second, 'tokens/s'));
    if (t.time_to_first_token_ms) row('First token, estimated', rate(t.time_to_first_token_ms, 'ms'));
  }
  $('figures').replaceChildren(...rows);
}

function drawDetails(plan) {
  $('details').hidden = false;
  $('terms-count').textContent = plan.terms?.length ?? '';
  $('terms').tBodies[0].replaceChildren(...(plan.terms ?? []).map(t => make('tr', {},
    make('td', { 'data-part': t.category }, make('i'), t.name + (t.on ? t.on.length > 1 ? ` × ${t.on.length}` : '' : ' (system memory)'), make('small', {}, t.formula)),
    make('td', { title: `${count(t.bytes)} bytes` }, size(t.bytes)),
    make('td', { class: 'quiet' }, t.high_bytes ? span(t.low_bytes ?? 0, t.high_bytes) : ''),
    make('td', { title: t.source }, t.confidence))));
  const lines = [...plan.engine.assumed.map(a => [`${a.field} = ${a.value}`, ` ${a.why}`]), ...(plan.notes ?? []).map(n => ['Note', ` ${n}`])];
  $('assumed-count').textContent = lines.length;
  $('assumed').replaceChildren(...lines.map(([what, why]) => make('li', {}, make('code', {}, what), make('span', { class: 'quiet' }, why))));
}

function drawPlan(plan) {
  const devices = devicesOf(plan), m = plan.model;
  document.querySelector('main').dataset.verdict = plan.verdict;
  $('verdict').dataset.verdict = plan.verdict;
  const verdict = verdicts[plan.verdict] ?? plan.verdict;
  if ($('verdict').textContent !== verdict) $('verdict').textContent = verdict; // it is read out
  $('model').textContent = m.reference;
  const mixers = Object.entries(m.layers).map(([k, n]) => `${n} ${k.replaceAll('_', ' ')}`).join(' + ');
  $('facts').textContent = [m.architecture, `${short(m.parameters_total)} parameters` + (m.parameters_active < m.parameters_total ? `, ${short(m.parameters_active)} active` : ''), mixers && `${mixers} layers`, `${plan.engine.name} ${plan.engine.version}`.trim()].filter(Boolean).join(' · ');
  $('answer').hidden = false;
  drawSum(plan, devices);
  drawBars(plan, devices);
  drawLayers(plan.layers);
  drawFigures(plan);
  drawDetails(plan);
}
