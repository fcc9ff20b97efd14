// A host of MCP Apps, of the official bridge and client: it reads the app that
// a tool names, shows it in a sandboxed frame, and passes on what it asks for.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { AppBridge, PostMessageTransport } from '@modelcontextprotocol/ext-apps/app-bridge';

const host = { contexts: [], sizes: [] };
window.host = host;

window.show = async (url, name, args, theme) => {
  const client = new Client({ name: 'host', version: '1' });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  const { tools } = await client.listTools();
  const uri = tools.find((t) => t.name === name)._meta.ui.resourceUri;
  const { contents } = await client.readResource({ uri });
  const frame = document.createElement('iframe');
  frame.setAttribute('sandbox', 'allow-scripts');
  frame.style = 'width:760px;height:1000px;border:0';
  document.body.replaceChildren(frame);

  const bridge = new AppBridge(client, { name: 'host', version: '1' }, { serverTools: {}, updateModelContext: {} }, { hostContext: { theme } });
  bridge.onupdatemodelcontext = async (params) => {
    host.contexts.push(params.content[0].text);
    return {};
  };
  bridge.onsizechange = (size) => host.sizes.push(size.height);
  const initialized = new Promise((resolve) => { bridge.oninitialized = resolve; });
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  frame.srcdoc = contents[0].text;
  await initialized;
  await bridge.sendToolInput({ arguments: args });
  await bridge.sendToolResult(await client.callTool({ name, arguments: args }));
  host.theme = (to) => bridge.setHostContext({ theme: to });
  return contents[0].mimeType;
};
