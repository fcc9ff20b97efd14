# Sourced by scripts that talk to servers over HTTP. They set node and out, a
# scratch folder that is removed at the end, with every server that was started.

pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$out"
}
trap cleanup EXIT

# start runs a server on a free port, whose address it puts after the command,
# and sets base to its URL when it listens.
start() {
  local port
  port=$("$node" -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
  "$@" "127.0.0.1:$port" 2>>"$out/server.log" &
  pids+=($!)
  base=http://127.0.0.1:$port
  "$node" -e '
    const [port, until] = [+process.argv[1], Date.now() + 10000];
    (function dial() {
      require("net").connect(port, "127.0.0.1").on("connect", function () { this.destroy(); })
        .on("error", () => { if (Date.now() > until) process.exit(1); setTimeout(dial, 20); });
    })()' "$port" || { cat "$out/server.log" >&2; exit 1; }
}
