"""The helper protocol of hwLedger, version 1: JSON-RPC 2.0 on standard input
and output, one message a line. Only the standard library is used.

A helper subclasses Engine and calls serve(). Standard output belongs to the
protocol: file descriptor 1 is turned into standard error at once, so that
what libraries print is a log.
"""
import json
import os
import sys
import threading

VERSION = "1"
MAX_LINE = 4 << 20
NOT_LOADED, BAD_MODEL, OUT_OF_MEMORY, VERSIONS_DIFFER = -32002, -32003, -32004, -32001


class Error(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Engine:
    """What a helper wraps. Every method may raise Error."""

    name, version = "engine", ""

    def load(self, params, progress):
        raise NotImplementedError

    def unload(self):
        raise NotImplementedError

    def memory(self):
        return resident()

    def generate(self, params, token, cancelled):
        """Calls token(text) for each piece; returns (reason, prompt, completion)."""
        raise NotImplementedError

    def close(self):
        pass


def resident():
    """System memory of this process in bytes, where it can be read."""
    out = {}
    try:
        with open("/proc/self/status") as f:
            for line in f:
                for field, name in (("VmRSS:", "resident_bytes"), ("VmHWM:", "peak_bytes")):
                    if line.startswith(field):
                        out[name] = int(line.split()[1]) << 10
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        out["peak_bytes"] = peak if sys.platform == "darwin" else peak << 10
    return out


class Server:
    def __init__(self, engine):
        self.engine = engine
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self.writing = threading.Lock()
        self.cancels = {}
        self.guard = threading.Lock()

    def send(self, message):
        line = json.dumps({"jsonrpc": "2.0", **message})
        with self.writing:
            self.out.write(line + "\n")
            self.out.flush()

    def notify(self, method, params):
        self.send({"method": method, "params": params})

    def serve(self):
        try:
            for line in sys.stdin.buffer:
                if len(line) > MAX_LINE:
                    continue
                try:
                    message = json.loads(line)
                    method, params = message["method"], message.get("params") or {}
                except (ValueError, KeyError, TypeError):
                    continue
                if method == "cancel":
                    with self.guard:
                        event = self.cancels.get(params.get("call"))
                    if event:
                        event.set()
                    continue
                if "id" not in message:
                    continue
                if method == "generate":
                    with self.guard:
                        self.cancels[params.get("call")] = threading.Event()
                if method == "shutdown":
                    self.send({"id": message["id"], "result": {}})
                    return
                threading.Thread(target=self.answer, args=(message["id"], method, params), daemon=True).start()
        finally:
            self.engine.close()

    def answer(self, id, method, params):
        try:
            result = self.call(method, params)
        except Error as e:
            self.send({"id": id, "error": {"code": e.code, "message": str(e)}})
        except MemoryError:
            self.send({"id": id, "error": {"code": OUT_OF_MEMORY, "message": "out of memory"}})
        except Exception as e:  # the other side has to be told, whatever it is
            print(f"{method}: {type(e).__name__}: {e}", file=sys.stderr)
            code = OUT_OF_MEMORY if "out of memory" in str(e).lower() else -32603
            self.send({"id": id, "error": {"code": code, "message": f"{type(e).__name__}: {e}"[:400]}})
        else:
            self.send({"id": id, "result": result})

    def call(self, method, params):
        if method == "initialize":
            if params.get("protocol_version") != VERSION:
                raise Error(VERSIONS_DIFFER, f"this helper speaks version {VERSION}")
            return {"protocol_version": VERSION, "name": self.engine.name, "version": self.engine.version}
        if method == "ping":
            return {}
        if method == "load":
            self.engine.load(params, lambda text, done=0, total=0: self.notify("progress", {"message": text, "done": done, "total": total}))
            return {"model": params["model"]}
        if method == "unload":
            self.engine.unload()
            return {}
        if method == "memory":
            return self.engine.memory()
        if method == "generate":
            return self.generate(params)
        raise Error(-32601, f"there is no method {method}")

    def generate(self, params):
        call = params.get("call")
        with self.guard:
            event = self.cancels[call]
        pieces = []

        def token(text):
            pieces.append(text)
            self.notify("token", {"call": call, "text": text})

        try:
            reason, prompt, completion = self.engine.generate(params, token, event.is_set)
        finally:
            with self.guard:
                self.cancels.pop(call, None)
        out = {"text": "".join(pieces), "finish_reason": "cancelled" if event.is_set() else reason}
        if prompt:
            out["prompt_tokens"] = prompt
        if completion:
            out["completion_tokens"] = completion
        return out


def serve(engine):
    Server(engine).serve()
