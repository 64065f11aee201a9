"""The cheap question first: whether a container could load weights at all."""

from weighmaster.core.detect.downloaders import entrypoint
from weighmaster.core.detect.reading import Json
from weighmaster.core.detect.runtimes import of_image

NAMES = frozenset(
    {
        "STORAGE_URI", "LORA_ADAPTERS", "VLLM_ADDITIONAL_ARGS", "VLLM_EXTRA_ARGS",
        "CHECKPOINT_PATH",
        "LLAMA_ARG_HF_REPO", "NIM_PEFT_SOURCE", "VLLM_LORA_RESOLVER_CACHE_DIR", "LORA_PATH",
        "LLAMA_ARG_DOCKER_REPO", "NEURON_COMPILED_ARTIFACTS", "COMPILER_WORKDIR_ROOT",
    }
)  # fmt: skip
"""Variables that name weights without the word MODEL."""

WORDS = (
    "vllm", "sglang", "dynamo", "trt", "triton", "tensor", "torch", "text-gen", "text-emb", "llam",
    "mlserver", "mlflow", "mlc", "mlx", "bento", "ovms", "lmdeploy", "aphrodite", "lorax", "infin",
    "whisper", "xinference", "local-ai", "hf", "hugging", "pretrained", "odel", "ODEL", "fastchat",
    "gguf", "safetensors", "://", "wget", "curl", "git ", "kaggle", "oras", "kit ", "corn ",
    "kobold",
    "max serve", "mii", "speaches", "onnx", "djl", "tabby", "infer", "rclone", "azcopy", "s5cmd",
    "lora", "jetstream", "heckpoint", "openllm", "import ", "aibrix", "mc ", "eval", ".sh", ".py",
    "$", "<<", "source ", "snapshot", "lms ", "optimum", "transformers", "mistral", "serve ",
    "/start",
    "modctl", "ossutil",
)  # fmt: skip
"""Parts of words without which no command line loads weights that we could name."""


_QUOTES = str.maketrans("", "", "'\"\\")


def is_interesting(container: dict[str, Json], hinted: bool) -> bool:
    """Whether a closer look is worth it; false for nearly every container of a cluster."""
    image = container.get("image")
    if hinted or (
        type(image) is str and (of_image(image) is not None or entrypoint(image) is not None)
    ):
        return True
    variables = container.get("env")
    if type(variables) is list:
        for variable in variables:
            if type(variable) is dict:
                name = variable.get("name")
                if type(name) is str and ("MODEL" in name or name in NAMES):
                    return True
    if "envFrom" in container or type(variables) is dict:
        return True
    command, arguments = container.get("command"), container.get("args")
    hooks = _hooks(container)
    if command or arguments or hooks:
        line = f"{_line(command)} {_line(arguments)} {hooks}"
        if "'" in line or '"' in line or "\\" in line:
            # A shell reads v''llm and "se"rve as the plain words.
            line = line.translate(_QUOTES)
        for word in WORDS:
            if word in line:
                return True
    resources = container.get("resources")
    if type(resources) is dict and ("limits" in resources or "claims" in resources):
        limits = resources.get("limits")
        return type(limits) is dict and any("/" in name for name in limits if type(name) is str)
    return type(image) is not str


def _line(words: Json) -> str:
    if type(words) is list:
        return " ".join([word for word in words if type(word) is str])
    return words if type(words) is str else ""


def _hooks(container: dict[str, Json]) -> str:
    """The command lines of hooks and probes."""
    found = ""
    if "lifecycle" in container and type(container["lifecycle"]) is dict:
        lifecycle = container["lifecycle"]
        for hook in (lifecycle.get("postStart"), lifecycle.get("preStop")):
            if type(hook) is dict and type(hook.get("exec")) is dict:
                found += " " + _line(hook["exec"].get("command"))
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(name)
        if type(probe) is dict and "exec" in probe and type(probe["exec"]) is dict:
            found += " " + _line(probe["exec"].get("command"))
    return found
