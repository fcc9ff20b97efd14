'use strict';
// How the page reaches the server: over the bridge of the chat that shows it,
// or by POST when it is a page of its own. Both offer call(tool, arguments),
// which resolves to the result of tools/call.

// bridge speaks the MCP Apps protocol (2026-01-26) with the window that
// embeds this one.
function bridge(on) {
  const waiting = new Map();
  let last = 0, host = {};
  const post = message => window.parent.postMessage({ jsonrpc: '2.0', ...message }, '*');
  const notify = (method, params) => post({ method, params });
  const request = (method, params) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    post({ id: last, method, params });
  });
  window.addEventListener('message', event => {
    const m = event.data;
    if (event.source !== window.parent || !m || m.jsonrpc !== '2.0') return;
    if (m.method === undefined) {
      const w = waiting.get(m.id);
      waiting.delete(m.id);
      if (w) m.error ? w.reject(new Error(m.error.message)) : w.resolve(m.result);
    } else if (m.id === undefined) {
      on[m.method]?.(m.params ?? {});
    } else if (m.method === 'ping' || m.method === 'ui/resource-teardown') {
      post({ id: m.id, result: {} });
    } else {
      post({ id: m.id, error: { code: -32601, message: 'the planner has no ' + m.method } });
    }
  });
  return {
    async start() {
      host = await request('ui/initialize', {
        protocolVersion: '2026-01-26', appInfo: { name: 'hwledger-planner', version: '1' }, appCapabilities: { availableDisplayModes: ['inline'] },
      });
      on['ui/notifications/host-context-changed'](host.hostContext ?? {});
      notify('ui/notifications/initialized', {});
      new ResizeObserver(() => {
        const box = document.documentElement.getBoundingClientRect();
        notify('ui/notifications/size-changed', { width: Math.ceil(box.width), height: Math.ceil(box.height) });
      }).observe(document.documentElement);
    },
    call: (name, args) => request('tools/call', { name, arguments: args }),
    // tell lets the model of the chat know what the person chose.
    tell(text, structuredContent) {
      const can = host.hostCapabilities?.updateModelContext;
      if (can) request('ui/update-model-context', { content: [{ type: 'text', text }], ...(can.structuredContent && { structuredContent }) }).catch(() => {});
    },
  };
}

// Unauthorized asks for a token.
class Unauthorized extends Error {}

// http sends each call as one POST without a session, as protocol 2026-07-28
// allows.
function http() {
  let last = 0;
  return {
    async start() {},
    async call(name, args, signal) {
      const headers = {
        'Content-Type': 'application/json', Accept: 'application/json, text/event-stream',
        'Mcp-Protocol-Version': '2026-07-28', 'Mcp-Method': 'tools/call', 'Mcp-Name': name,
      };
      const token = sessionStorage.getItem('hwledger-token');
      if (token) headers.Authorization = 'Bearer ' + token;
      const meta = { 'protocolVersion': '2026-07-28', 'clientInfo': { name: 'hwledger-planner', version: '1' }, 'clientCapabilities': {} };
      const response = await fetch('mcp', {
        method: 'POST', headers, signal,
        body: JSON.stringify({
          jsonrpc: '2.0', id: ++last, method: 'tools/call',
          params: { name, arguments: args, _meta: Object.fromEntries(Object.entries(meta).map(([k, v]) => ['io.modelcontextprotocol/' + k, v])) },
        }),
      });
      const text = await response.text();
      if (response.status === 401) throw new Unauthorized('this server asks for an access token');
      const stream = response.headers.get('Content-Type')?.startsWith('text/event-stream');
      // The answer is the last event of a stream; others tell of progress.
      const body = stream ? text.split(/\r?\n/).filter(l => l.startsWith('data:')).at(-1)?.slice(5) : text;
      let message;
      try { message = JSON.parse(body); } catch { throw new Error(`the server answered ${response.status}: ${text.slice(0, 200)}`); }
      if (message.error) throw new Error(message.error.message);
      return message.result;
    },
    tell() {},
  };
}
