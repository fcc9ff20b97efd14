// A chat reduced to what shows an app: a sandboxed frame without origin, with
// the policy that hosts give pages that ask for no domains, and the official
// bridge to it. The page that loads this has serverCall(params).
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

const policy = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">`;

window.openApp = async ({ html, theme, input, result }) => {
  document.querySelector("iframe")?.remove();
  const frame = Object.assign(document.createElement("iframe"), { sandbox: "allow-scripts", style: "border:0; width:100%; height:400px" });
  document.body.append(frame);
  const capabilities = { serverTools: {}, updateModelContext: { text: {} } };
  const bridge = new AppBridge(null, { name: "host", version: "1" }, capabilities, { hostContext: { theme, displayMode: "inline" } });
  window.told = [];
  bridge.oncalltool = (params) => window.serverCall(params);
  bridge.onupdatemodelcontext = async (params) => (window.told.push(params), {});
  bridge.onsizechange = ({ height }) => (frame.style.height = height + "px");
  const ready = new Promise((resolve) => (bridge.oninitialized = resolve));
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  frame.srcdoc = html.replace("<head>", "<head>" + policy);
  await ready;
  window.bridge = bridge;
  await bridge.sendToolInput({ arguments: input });
  if (result) await bridge.sendToolResult(result);
};
