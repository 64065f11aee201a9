"""The cheap question first: could this container load weights at all?"""

from weighmaster.core.detect.reading import Json
from weighmaster.core.detect.runtimes import of_image

NAMES = frozenset(
    {
        "MODEL_ID", "MODEL_PATH", "MODEL_NAME", "MODEL", "MODEL_URI", "MODEL_DIR", "MODEL_URL",
        "MODEL_REPO", "HF_MODEL_ID", "HF_MODEL", "HF_MODEL_NAME", "MODEL_SOURCE", "STORAGE_URI",
        "COMPILED_MODEL_ID", "LLM_MODEL_ID", "EMBEDDING_MODEL_ID", "RERANK_MODEL_ID",
        "LLM_MODEL_PATH", "BASE_MODEL", "BASE_MODEL_ID", "MODEL_REPO_ID", "MODEL_TAG",
        "LORA_ADAPTERS", "MODELKIT_REF", "NIM_MODEL_NAME", "NIM_MODEL_PATH", "MODEL_LOCATION",
        "ASR_MODEL", "ASR_MODEL_PATH", "VLLM_ADDITIONAL_ARGS", "OPTION_MODEL_ID", "MODEL_FILE",
        "LLAMA_ARG_MODEL", "LLAMA_ARG_HF_REPO", "LLAMA_ARG_MODEL_URL", "VLLM_MODEL", "MODELS",
        "MLSERVER_MODEL_URI", "MLFLOW_MODEL_URI", "INFINITY_MODEL_ID", "WHISPER_MODEL",
        "PRELOAD_MODELS", "NIM_PEFT_SOURCE", "VLLM_LORA_RESOLVER_CACHE_DIR", "DRAFT_MODEL_ID",
        "TS_MODEL_STORE", "MODEL_STORE", "MODEL_REPOSITORY", "CHECKPOINT_PATH", "TEI_MODEL_ID",
        "PRETRAINED_MODEL_NAME_OR_PATH", "TGI_MODEL_ID", "EMBEDDING_MODEL", "RERANKER_MODEL",
        "DYN_MODEL", "DYN_MODEL_PATH", "LLAMA_ARG_MODELS_DIR", "LLAMA_ARG_DOCKER_REPO",
    }
)  # fmt: skip
"""Variables that name weights, in servers and, alas, in clients."""

WORDS = (
    "vllm", "sglang", "dynamo", "trt", "triton", "tensor", "torch", "text-", "llam", "lama",
    "ml", "bento", "ovms", "lmdeploy", "aphrodite", "lorax", "infinity", "whisper", "xinference",
    "local-ai", "hf", "hugging", "snapshot", "pretrained", "odel", "ODEL", "fastchat", "serv",
    "gguf", "safetensors", "://", "wget", "curl", "git ", "kaggle", "oras", "kit ", "corn", "kobold",
    "max", "mii", "speaches", "onnx", "djl", "tabby", "infer", "rclone", "azcopy", "s5cmd", "lora",
    "jetstream", "heckpoint", "openllm", "import", "transformers", "aibrix", "mc ", "/bin/bash\0/",
    "eval", ".sh", ".py", "$", "<<", "source", "load",
)  # fmt: skip
"""Parts of words without which no command line loads weights that we could name."""


def is_interesting(container: dict[str, Json], hinted: bool) -> bool:
    """Whether a closer look is worth it; false for nearly every container of a cluster."""
    image = container.get("image")
    if hinted or (type(image) is str and of_image(image) is not None):
        return True
    variables = container.get("env")
    if type(variables) is list:
        for variable in variables:
            if type(variable) is dict and variable.get("name") in NAMES_OR_MORE:
                return True
    if "envFrom" in container or type(variables) is dict:
        return True
    command, arguments = container.get("command"), container.get("args")
    if command or arguments or "lifecycle" in container:
        line = _line(command) + _line(arguments)
        if "lifecycle" in container:
            line += _hooks(container["lifecycle"])
        for word in WORDS:
            if word in line:
                return True
    resources = container.get("resources")
    if type(resources) is dict and ("limits" in resources or "claims" in resources):
        limits = resources.get("limits")
        return type(limits) is dict and any("/" in name for name in limits if type(name) is str)
    return type(image) is not str


class _Names:
    """Names that are in the table, and any that follow its habits."""

    def __contains__(self, name: object) -> bool:
        return name in NAMES or (type(name) is str and "MODEL" in name)


NAMES_OR_MORE = _Names()


def _line(words: Json) -> str:
    if type(words) is list:
        return "\0".join([word for word in words if type(word) is str])
    return words if type(words) is str else ""


def _hooks(lifecycle: Json) -> str:
    if type(lifecycle) is not dict:
        return ""
    line = ""
    for hook in (lifecycle.get("postStart"), lifecycle.get("preStop")):
        if type(hook) is dict and type(hook.get("exec")) is dict:
            line += _line(hook["exec"].get("command"))
    return line
