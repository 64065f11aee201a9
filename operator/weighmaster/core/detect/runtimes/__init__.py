"""Which program, module or image is which runtime."""

import re
from functools import lru_cache

from weighmaster.core.detect.runtimes import classic, language
from weighmaster.core.detect.runtimes.table import Runtime

MAX_IMAGE = 1000
"""Characters of an image that are looked at; no registry takes as many."""

SERVE = frozenset({"serve"})

PROGRAMS: dict[str, tuple[Runtime, frozenset[str]]] = {
    "vllm": (
        language.VLLM,
        frozenset({"serve", "run-batch", "bench latency", "bench throughput", "bench startup"}),
    ),
    "vllm-server": (language.VLLM, frozenset()),
    "vllm-omni": (language.VLLM, SERVE),
    "sglang": (language.SGLANG, SERVE | {"generate"}),
    "trtllm-serve": (language.TRTLLM, frozenset()),
    "trtllm-bench": (language.TRTLLM, frozenset({"throughput", "latency"})),
    "text-generation-launcher": (language.TGI, frozenset()),
    "text-generation-server": (language.TGI, SERVE | {"download-weights"}),
    "text-embeddings-router": (language.TEI, frozenset()),
    "lorax-launcher": (language.LORAX, frozenset()),
    "infinity_emb": (language.INFINITY, language.INFINITY.subcommands),
    "llama-server": (language.LLAMA_CPP, frozenset()),
    "llama-cli": (language.LLAMA_CPP, frozenset()),
    "llama-cpp-server": (language.LLAMA_CPP, frozenset()),
    "llamafile": (language.LLAMA_CPP, frozenset()),
    "koboldcpp": (language.LLAMA_CPP, frozenset()),
    "lmdeploy": (language.LMDEPLOY, frozenset({"serve api_server", "serve gradio", "serve"})),
    "aphrodite": (language.APHRODITE, frozenset({"run", "serve"})),
    "mlc_llm": (language.POSITIONAL, SERVE),
    "mistralrs-server": (language.OPTIONAL, frozenset()),
    "max": (language.OPTIONAL, SERVE),
    "max-serve": (language.OPTIONAL, frozenset()),
    "openllm": (language.POSITIONAL, frozenset({"start", "serve", "run"})),
    "tabby": (language.OPTIONAL, SERVE),
    "transformers": (language.POSITIONAL, SERVE),
    "transformers-cli": (language.POSITIONAL, SERVE),
    "dynamo-run": (language.DYNAMO, frozenset()),
    "tritonserver": (classic.TRITON, frozenset()),
    "tensorflow_model_server": (classic.TF_SERVING, frozenset()),
    "torchserve": (classic.TORCHSERVE, frozenset()),
    "mlserver": (classic.MLSERVER, classic.MLSERVER.subcommands),
    "mlflow": (classic.MLFLOW, classic.MLFLOW.subcommands),
    "bentoml": (classic.BENTO, classic.BENTO.subcommands),
    "ovms": (classic.OPENVINO, frozenset()),
    "onnxruntime_server": (classic.ONNX, frozenset()),
    "djl-serving": (classic.DJL, frozenset()),
    "jetstream": (classic.JETSTREAM, frozenset()),
    "faster-whisper-server": (classic.WHISPER, frozenset()),
    "whisper-server": (classic.WHISPER, frozenset()),
    "speaches": (classic.WHISPER, frozenset()),
    "xinference": (classic.MULTIPLE, frozenset({"launch"})),
    "xinference-local": (classic.MULTIPLE, frozenset()),
    "xinference-worker": (classic.MULTIPLE, frozenset()),
    "local-ai": (classic.MULTIPLE, frozenset()),
    "llama-swap": (classic.MULTIPLE, frozenset()),
    "lms": (classic.MULTIPLE, frozenset({"load", "server"})),
    "inference_api.py": (language.OPTIONAL, frozenset()),
    "launch_triton_server.py": (classic.TRITON, frozenset()),
    "launch_server.py": (language.SGLANG, frozenset()),
    "api_server.py": (language.VLLM, frozenset()),
    "multi-node-serving.sh": (language.VLLM, frozenset()),
}
"""By program name: the runtime, and the subcommands that load weights (none: always)."""

MODULES: dict[str, Runtime] = {
    "sglang.launch_server": language.SGLANG,
    "sglang.srt.entrypoints.http_server": language.SGLANG,
    "sglang.bench_one_batch": language.SGLANG,
    "sglang.bench_offline_throughput": language.SGLANG,
    "sglang_router.launch_server": language.SGLANG,
    "sglang.multimodal_gen.runtime.launch_server": language.SGLANG,
    "dynamo.vllm": language.DYNAMO,
    "dynamo.sglang": language.DYNAMO,
    "dynamo.trtllm": language.DYNAMO,
    "dynamo.llama_cpp": language.DYNAMO,
    "dynamo.mistralrs": language.DYNAMO,
    "tensorrt_llm.commands.serve": language.TRTLLM,
    "llama_cpp.server": language.LLAMA_CPP,
    "infinity_emb": language.INFINITY,
    "lmdeploy.serve.openai.api_server": language.LMDEPLOY,
    "lightllm.server.api_server": language.OPTIONAL,
    "mlc_llm.serve.server": language.OPTIONAL,
    "fastchat.serve.model_worker": language.OPTIONAL,
    "fastchat.serve.vllm_worker": language.OPTIONAL,
    "fastchat.serve.multi_model_worker": language.OPTIONAL,
    "ktransformers.server.main": language.OPTIONAL,
    "ktransformers.local_chat": language.OPTIONAL,
    "aphrodite.endpoints.openai.api_server": language.APHRODITE,
    "huggingfaceserver": classic.KSERVE,
    "sklearnserver": classic.KSERVE,
    "xgbserver": classic.KSERVE,
    "lgbserver": classic.KSERVE,
    "pmmlserver": classic.KSERVE,
    "paddleserver": classic.KSERVE,
    "custom_model": classic.KSERVE,
    "jetstream_pt.cli": classic.JETSTREAM,
    "MaxText.maxengine_server": classic.JETSTREAM,
    "speaches.main": classic.WHISPER,
    "mii.launch.multi_gpu_server": language.OPTIONAL,
    "xinference.deploy.cmdline": classic.MULTIPLE,
    "mlx_lm.server": language.OPTIONAL,
}
"""By Python module."""

_VLLM_MODULE = re.compile(r"vllm(?:_omni|_ascend)?\.(?:entrypoints|.*server)")
_QUIET_SUBCOMMANDS = frozenset({"bench", "chat", "complete", "collect-env", "launch"})

_IMAGES: tuple[tuple[re.Pattern[str], Runtime], ...] = tuple(
    (re.compile(pattern), runtime)
    for pattern, runtime in (
        (r"text-embeddings-inference|(?:^|/)tei(?:-[a-z]+)?[:@]", language.TEI),
        (r"text-generation-inference|tgi-gaudi|/tgi-tpu|/tgi[:@]", language.TGI),
        (r"lorax", language.LORAX),
        (r"sglang", language.SGLANG),
        (r"vllm|llm-d-cuda|llm-d-cpu|llm-d-xpu|llm-d-rocm", language.VLLM),
        (r"ollama/ollama|(?:/|^)ollama(?:-(?:ubi\d*|rocm|cuda|gpu|cpu|intel|vulkan|server?))?(?:[:@]|$)",
         language.OLLAMA),
        (r"/nim/", language.NIM),
        (r"tritonserver", classic.TRITON),
        (r"tensorflow/serving|tensorflow-serving|tf-serving", classic.TF_SERVING),
        (r"torchserve", classic.TORCHSERVE),
        (r"mlserver", classic.MLSERVER),
        (r"llama\.cpp|llamacpp|llama-cpp|llama-server", language.LLAMA_CPP),
        (r"local-?ai(?:[:@/]|$)", classic.MULTIPLE),
        (r"xinference|llama-swap|lmstudio", classic.MULTIPLE),
        (r"infinity(?:[:@]|$)", language.INFINITY),
        (r"lmdeploy|openmmlab", language.LMDEPLOY),
        (r"aphrodite", language.APHRODITE),
        (r"tensorrt-?llm|tensorrtllm", language.TRTLLM),
        (r"openvino/model_server|openvino-model-server|model_server", classic.OPENVINO),
        (r"djl-(?:serving|inference)|djl_serving", classic.DJL),
        (r"inference-checkpoint", classic.CONVERTER),
        (r"jetstream-(?:http|proxy)", Runtime(name="jetstream", absent="nothing")),
        (r"jetstream|maxengine", classic.JETSTREAM),
        (r"sax-model-server", classic.DYNAMIC),
        (r"whisper|speaches", classic.WHISPER),
        (r"huggingfaceserver|sklearnserver|xgbserver|lgbserver|pmmlserver|paddleserver",
         classic.KSERVE),
        (r"immich-machine-learning|kvcached-runtime|open-?webui/.*ollama", classic.DYNAMIC),
        (r"onyx-model-server|/aikit/|danswer-model-server|/speecht5|gpt-sovits|kokoro-fastapi|xtts",
         classic.EMBEDDED),
        (r"tabbyapi|exllama|koboldcpp|text-generation-webui|comfyui|stable-diffusion-webui",
         classic.DYNAMIC),
        (r"tabbyml/tabby|mistral\.rs|modular/max|max-nvidia|mlc-llm", language.OPTIONAL),
        (r"kaito-base|/kaito/workspace", language.OPTIONAL),
        (r"t2v-transformers|multi2vec|qna-transformers|reranker-transformers", classic.EMBEDDED),
    )
)  # fmt: skip

_HARMLESS = re.compile(
    r"(?:^|[-_/.:<{])(?:sim|simulator|mock|mocker|emulator|vllme|client|bench|benchmark|perf|router|"
    r"proxy|gateway|frontend|exporter|operator|controller|manager|agent|ui|webui|web|sidecar|"
    r"tokenizer-service|verl|train|training|trainer|finetune|loader-test|epp|scheduler|metrics|"
    r"initializer|device-plugin|gradio|chatbot|streamlit|rag)(?:$|[-_/.:@>}])"
)


def of_image(image: str) -> Runtime | None:
    """The runtime that a container image starts by itself, if its name tells."""
    return _of_image(image[:MAX_IMAGE])


@lru_cache(maxsize=2048)
def _of_image(image: str) -> Runtime | None:
    name = image.lower()
    registry, slash, rest = name.partition("/")
    if slash and ("." in registry or ":" in registry) and "/" in rest:
        searched = "/" + rest
    else:
        searched = name
    if is_harmless_image(searched):
        return None
    for pattern, runtime in _IMAGES:
        if pattern.search(searched) or pattern.search(name):
            return runtime
    return None


def is_harmless_image(image: str) -> bool:
    """Whether the name says client, simulator, router or the like.

    A tag beside a digest names nothing: the digest does, whatever the tag says.
    """
    name, digested, _ = image.partition("@")
    name = name.lower().rpartition("/")[2]
    return is_harmless(name.partition(":")[0] if digested else name)


def is_harmless(name: str) -> bool:
    """Whether the name of an image, program or module says so."""
    return bool(_HARMLESS.search(name))


def of_program(program: str, words: list[str], path: str) -> tuple[Runtime, int] | None:
    """The runtime that a command starts, and how many subcommand words it has.

    ``None`` if the command is no server we know, or a subcommand that loads nothing.
    """
    entry = PROGRAMS.get(program)
    if entry is not None:
        runtime, subcommands = entry
        if program == "api_server.py" and "vllm" not in path:
            return language.OPTIONAL, 0
        if not subcommands:
            if program == "trtllm-serve" and words[:1] == ["serve"]:
                return runtime, 1
            return runtime, 0
        return _subcommand(runtime, words, subcommands)
    module = MODULES.get(program)
    if module is not None:
        return module, 0
    if program.startswith("vllm") and _VLLM_MODULE.match(program):
        if program.endswith("cli.main"):
            return _subcommand(language.VLLM, words, PROGRAMS["vllm"][1])
        if ".cli." in program or ".bench" in program:
            return None
        return language.VLLM, 0
    return None


def _subcommand(
    runtime: Runtime, words: list[str], known: frozenset[str]
) -> tuple[Runtime, int] | None:
    first = words[0] if words else ""
    two = " ".join(words[:2])
    if two in known:
        return runtime, 2
    if first in known:
        return runtime, 1
    # Global flags may come before the subcommand.
    for index, word in enumerate(words[:8]):
        if word in known and words[0].startswith("-"):
            return runtime, index + 1
    return None


def is_server(program: str) -> bool:
    """Whether a word is the name of a program or module that serves."""
    return (
        program in PROGRAMS
        or program in MODULES
        or program.startswith("vllm.")
        or program in ("ollama", "ray")
    )


def starts(program: str, words: list[str]) -> bool:
    """Whether a program that serves does so with these words."""
    return program in ("ollama", "ray") or of_program(program, words, "vllm") is not None


def _starts() -> frozenset[str]:
    """The first four letters of every option that can be abbreviated."""
    found = {"trus"}
    tables = {id(runtime): runtime for runtime, _ in PROGRAMS.values()}
    tables |= {id(runtime): runtime for runtime in MODULES.values()}
    tables |= {id(runtime): runtime for _, runtime in _IMAGES}
    for runtime in tables.values():
        for table in (runtime.options, runtime.lists, runtime.documents, runtime.revisions):
            found |= {name[:4] for name in table}
        found |= {name[:4] for name in runtime.remote_code}
    return frozenset(found)


STARTS = _starts()
"""Beginnings that an abbreviated option may have; most options of most servers have others."""
