"""A helper around MLX where it is installed, else around transformers."""
import importlib.util
import os
import threading

from helper import BAD_MODEL, NOT_LOADED, Engine, Error, resident, serve


def offline(params):
    if params.get("offline"):
        os.environ["HF_HUB_OFFLINE"] = "1"


class MLX(Engine):
    name = "mlx-lm"

    def __init__(self):
        import mlx_lm

        self.lib, self.version, self.model = mlx_lm, getattr(mlx_lm, "__version__", ""), None
        self.lock = threading.Lock()

    def load(self, params, progress):
        offline(params)
        progress("loading")
        try:
            self.model, self.tokenizer = self.lib.load(params["model"])
        except (ValueError, FileNotFoundError, OSError) as e:
            raise Error(BAD_MODEL, str(e)) from e
        import mlx.core as mx

        self.loaded = mx.get_active_memory()

    def unload(self):
        import mlx.core as mx

        self.model = self.tokenizer = None
        mx.clear_cache()

    def memory(self):
        import mlx.core as mx

        out = resident()
        if self.model is not None:
            out["buffers"] = [
                {"kind": "weights", "device": "metal", "bytes": self.loaded},
                {"kind": "workspace", "device": "metal", "bytes": max(0, mx.get_peak_memory() - self.loaded)},
            ]
        return out

    def generate(self, params, token, cancelled):
        if self.model is None:
            raise Error(NOT_LOADED, "no model is loaded")
        prompt = params.get("prompt") or ""
        if params.get("messages"):
            prompt = self.tokenizer.apply_chat_template(params["messages"], add_generation_prompt=True, return_dict=False)
        sampler = None
        if params.get("temperature") is not None:
            from mlx_lm.sample_utils import make_sampler

            sampler = make_sampler(temp=params["temperature"])
        reason, read, made = "stop", 0, 0
        with self.lock:  # the model has one cache
            for r in self.lib.stream_generate(self.model, self.tokenizer, prompt, max_tokens=params.get("max_tokens") or 256, sampler=sampler):
                token(r.text)
                read, made, reason = r.prompt_tokens, r.generation_tokens, r.finish_reason or reason
                if cancelled():
                    break
        return reason, read, made


class Transformers(Engine):
    name = "transformers"

    def __init__(self):
        import transformers

        # Names are imported when they are first used: these load torch.
        self.causal, self.tokens = transformers.AutoModelForCausalLM, transformers.AutoTokenizer
        self.lib, self.version, self.model = transformers, transformers.__version__, None
        self.lock = threading.Lock()
        self.process = resident().get("resident_bytes", 0)

    def load(self, params, progress):
        offline(params)
        progress("loading")
        # Spreading a model over devices takes accelerate; without it the first
        # device has all of it.
        spread = {"device_map": "auto"} if importlib.util.find_spec("accelerate") else {}
        try:
            self.tokenizer = self.tokens.from_pretrained(params["model"])
            self.model = self.causal.from_pretrained(params["model"], dtype="auto", **spread)
        except (ValueError, OSError) as e:
            raise Error(BAD_MODEL, str(e)) from e
        if not spread:
            import torch

            for device in ("cuda", "mps"):
                if getattr(torch, device).is_available():
                    self.model.to(device)
                    break
        self.model.eval()

    def unload(self):
        import gc

        import torch

        self.model = self.tokenizer = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def memory(self):
        out = resident()
        if self.model is not None:
            by = {}
            for t in list(self.model.parameters()) + list(self.model.buffers()):
                by[str(t.device)] = by.get(str(t.device), 0) + t.numel() * t.element_size()
            out["buffers"] = [{"kind": "weights", "device": d, "bytes": n} for d, n in by.items()]
            if self.process:  # of Python and its libraries, before a model
                out["buffers"].append({"kind": "runtime", "device": "cpu", "bytes": self.process})
        return out

    def generate(self, params, token, cancelled):
        if self.model is None:
            raise Error(NOT_LOADED, "no model is loaded")
        if params.get("messages"):
            inputs = self.tokenizer.apply_chat_template(params["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True)
        else:
            inputs = self.tokenizer(params.get("prompt") or "", return_tensors="pt")
        inputs = inputs.to(self.model.device)
        most = params.get("max_tokens") or 256
        streamer = self.lib.TextIteratorStreamer(self.tokenizer, skip_prompt=True, skip_special_tokens=True)
        stop = self.lib.StoppingCriteriaList([lambda ids, scores, **_: cancelled()])
        sampling = {}
        if params.get("temperature"):
            sampling = {"do_sample": True, "temperature": params["temperature"]}
        read, made, failed = inputs["input_ids"].shape[1], [0], []

        def work():
            try:
                out = self.model.generate(**inputs, max_new_tokens=most, streamer=streamer, stopping_criteria=stop, **sampling)
                made[0] = out.shape[1] - read
            except Exception as e:  # it belongs to the caller's thread
                failed.append(e)
                streamer.end()

        with self.lock:
            thread = threading.Thread(target=work)
            thread.start()
            for text in streamer:
                if text:
                    token(text)
            thread.join()
        if failed:
            raise failed[0]
        return "length" if made[0] >= most else "stop", read, made[0]


if __name__ == "__main__":
    serve(MLX() if importlib.util.find_spec("mlx_lm") else Transformers())
