// Sessions of the two TypeScript SDKs with the server given as argument, over
// stdio: the older SDK shakes hands, the newer one negotiates the stateless
// protocol.
import assert from "node:assert/strict";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as Stdio1 } from "@modelcontextprotocol/sdk/client/stdio.js";
import { Client as Client2 } from "@modelcontextprotocol/client";
import { StdioClientTransport as Stdio2 } from "@modelcontextprotocol/client/stdio";

const command = process.argv[2];
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

  await client.close();
  console.log(`${name}: ${tools.length} tools, ${many.length + 2} calls`);
}

await session("sdk 1", new Client1(info), new Stdio1({ command, args: ["serve"] }));
const modern = new Client2(info, { versionNegotiation: { mode: "auto" } });
await session("client 2", modern, new Stdio2({ command, args: ["serve"] }));
