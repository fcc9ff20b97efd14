"""A helper around llama-server: load starts it on a UNIX socket, generate
asks it. The arguments of load are the program and its options, which
hwLedger has checked; where it listens is decided here."""
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from helper import BAD_MODEL, NOT_LOADED, OUT_OF_MEMORY, Engine, Error, resident, serve

BUFFER = re.compile(r"(\S+)\s+(model|KV|RS|compute|output)\s+buffer size\s*=\s*([\d.]+)\s*MiB")
KINDS = {"model": "weights", "KV": "kv_cache", "RS": "state", "compute": "workspace", "output": "workspace"}


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("sidecar")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


class Llama(Engine):
    name = "llama-server"

    def __init__(self):
        self.child = None
        self.key = secrets.token_hex(16)
        self.folder = tempfile.mkdtemp(prefix="hwledger-")
        self.path = os.path.join(self.folder, "s.sock")
        self.buffers, self.last = {}, []

    def load(self, params, progress):
        if self.child:
            raise Error(-32600, "a model is loaded")
        arguments = list(params.get("arguments") or [])
        if not arguments:
            raise Error(-32602, "arguments are missing: the program and its options")
        for option in ("--host", "--port"):
            while option in arguments:
                at = arguments.index(option)
                del arguments[at : at + 2]
        env = {**os.environ, "LLAMA_API_KEY": self.key}
        self.child = subprocess.Popen(
            arguments + ["--host", self.path], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        threading.Thread(target=self.read, args=(self.child,), daemon=True).start()
        steps = 0
        while True:
            if self.child.poll() is not None:
                text = "\n".join(self.last)
                self.child = None
                lacks = re.search(r"out of memory|failed to allocate|unable to allocate", text, re.I)
                raise Error(OUT_OF_MEMORY if lacks else BAD_MODEL, "llama-server ended: " + text[-300:])
            try:
                status, _ = self.ask("GET", "/health")
                if status == 200:
                    return
            except OSError:
                pass
            steps += 1
            if steps % 50 == 0:
                progress("loading", steps)
            time.sleep(0.01)

    def read(self, child):
        for line in child.stdout:
            sys.stderr.write(line)
            self.last = self.last[-20:] + [line.rstrip()]
            found = BUFFER.search(line)
            if found and float(found[3]) > 0:
                self.buffers[(found[1], found[2])] = int(float(found[3]) * (1 << 20))

    def ask(self, method, path, body=None):
        c = Connection(self.path)
        try:
            c.request(method, path, body, {"Authorization": "Bearer " + self.key, "Content-Type": "application/json"})
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def memory(self):
        out = resident()
        out["buffers"] = [{"kind": KINDS[kind], "device": device, "bytes": n} for (device, kind), n in self.buffers.items()]
        return out

    def generate(self, params, token, cancelled):
        if not self.child:
            raise Error(NOT_LOADED, "no model is loaded")
        chat = bool(params.get("messages"))
        body = {"stream": True, "stream_options": {"include_usage": True}}
        for name in ("messages", "prompt", "max_tokens", "temperature"):
            if params.get(name) is not None:
                body[name] = params[name]
        c = Connection(self.path)
        reason, usage = "stop", {}
        try:
            c.request("POST", "/v1/chat/completions" if chat else "/v1/completions", json.dumps(body),
                      {"Authorization": "Bearer " + self.key, "Content-Type": "application/json"})
            r = c.getresponse()
            if r.status != 200:
                raise Error(-32602, r.read(400).decode(errors="replace"))
            for line in r:
                if cancelled():
                    break
                if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
                    continue
                event = json.loads(line[5:])
                usage = event.get("usage") or usage
                for choice in event.get("choices") or []:
                    text = choice.get("text") or (choice.get("delta") or {}).get("content")
                    if text:
                        token(text)
                    reason = choice.get("finish_reason") or reason
        finally:
            c.close()
        return reason, usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)

    def unload(self):
        if self.child:
            self.child.terminate()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
            self.child = None
            self.buffers = {}

    def close(self):
        self.unload()
        shutil.rmtree(self.folder, ignore_errors=True)


if __name__ == "__main__":
    engine = Llama()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    serve(engine)
