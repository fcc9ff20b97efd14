// Sessions of the two TypeScript SDKs with the server given as first argument
// over stdio, and with the one at the address given as second over HTTP and
// SSE: the older SDK shakes hands, the newer one negotiates the stateless
// protocol.
import assert from "node:assert/strict";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as Stdio1 } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as HTTP1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { SSEClientTransport as SSE1 } from "@modelcontextprotocol/sdk/client/sse.js";
import { Client as Client2, StreamableHTTPClientTransport as HTTP2 } from "@modelcontextprotocol/client";
import { StdioClientTransport as Stdio2 } from "@modelcontextprotocol/client/stdio";

const [command, base] = process.argv.slice(2);
const info = { name: "check", version: "1" };

async function session(name, client, transport) {
  await client.connect(transport);
  assert.match(client.getInstructions() ?? "", /plan_memory/);
  const { tools } = await client.listTools(); // from here on results are validated
  assert.ok(tools.length > 0 && tools.every((t) => t.title && t.outputSchema && t.annotations));

  const args = { model: "Qwen/Qwen3-8B", hardware: "RTX 4090" };
  const good = await client.callTool({ name: "plan_memory", arguments: args });
  assert.equal(good.isError ?? false, false);
  assert.equal(good.structuredContent.verdict, "fits");

  const bad = await client.callTool({ name: "plan_memory", arguments: { ...args, context: 4096 } });
  assert.equal(bad.isError, true);
  assert.deepEqual(bad.structuredContent.candidates, ["context_tokens"]);

  const { contents } = await client.readResource({ uri: "hwledger://hardware" });
  assert.ok(JSON.parse(contents[0].text).host.total_bytes > 0);

  const many = await Promise.all(
    Array.from({ length: 100 }, (_, i) => client.callTool({ name: "plan_memory", arguments: { ...args, context_tokens: i + 1 } })),
  );
  many.forEach((r, i) => assert.equal(r.structuredContent.engine.context_tokens, i + 1));

  const { resourceTemplates } = await client.listResourceTemplates();
  assert.ok(resourceTemplates.some((t) => t.uriTemplate === "hwledger://models/{+ref}"));
  const model = await client.readResource({ uri: "hwledger://models/Qwen/Qwen3-8B" });
  assert.equal(JSON.parse(model.contents[0].text).model_type, "qwen3");
  await assert.rejects(client.readResource({ uri: "hwledger://models/../../etc/passwd" }), (e) => [-32602, -32603].includes(e.code)); // mcp-go's SSE transport knows only the latter
  const { prompts } = await client.listPrompts();
  assert.deepEqual(prompts.map((p) => p.name), ["choose-a-quantization", "diagnose-out-of-memory", "will-it-fit"]);
  const { completion } = await client.complete({ ref: { type: "ref/prompt", name: "will-it-fit" }, argument: { name: "hardware", value: "RTX 4090" } });
  assert.equal(completion.values[0], "RTX 4090");

  await client.close();
  console.log(`${name}: ${tools.length} tools, ${many.length + 2} calls`);
}

const auto = () => new Client2(info, { versionNegotiation: { mode: "auto" } });
await session("sdk 1 over stdio", new Client1(info), new Stdio1({ command, args: ["serve"] }));
await session("sdk 1 over HTTP", new Client1(info), new HTTP1(new URL("/mcp", base)));
await session("sdk 1 over SSE", new Client1(info), new SSE1(new URL("/sse", base)));
await session("client 2 over stdio", auto(), new Stdio2({ command, args: ["serve"] }));
await session("client 2 over HTTP, stateless", auto(), new HTTP2(new URL("/mcp", base)));
await session("client 2 over HTTP, with handshake", new Client2(info), new HTTP2(new URL("/mcp", base)));
