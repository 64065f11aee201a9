"""Options and variables that servers share, and what each runtime adds to them."""

from functools import lru_cache

from weighmaster.core.detect.runtimes.table import Runtime
from weighmaster.core.values import Role

OVERRIDES = (
    "HF_ENDPOINT", "HF_HUB_ENDPOINT", "HUGGINGFACE_HUB_ENDPOINT", "NIM_REPOSITORY_OVERRIDE",
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "S3_ENDPOINT", "S3_ENDPOINT_URL",
    "VLLM_USE_MODELSCOPE", "SGLANG_USE_MODELSCOPE", "HF_REVISION", "MODELSCOPE_DOMAIN",
    "RUNAI_STREAMER_S3_ENDPOINT", "LLAMA_ARG_HF_ENDPOINT", "MODEL_ENDPOINT",
    "MODELSCOPE_ENDPOINT", "STORAGE_EMULATOR_HOST", "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE",
    "AWS_S3_ENDPOINT", "LMDEPLOY_USE_MODELSCOPE", "LMDEPLOY_USE_OPENMIND_HUB",
    "VLLM_MODEL_REDIRECT_PATH", "WEIGHTS_CACHE_OVERRIDE",
    "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE",
    "GIT_SSL_CAINFO", "GIT_SSL_NO_VERIFY", "PYTHONHTTPSVERIFY",
)  # fmt: skip
"""Variables that change where a reference is fetched from, or who may answer in its place."""
OVERRIDING = frozenset(OVERRIDES)

VALUED = frozenset(
    {
        "served-model-name", "download-dir", "chat-template", "root-path", "generation-config",
        "hf-config-path", "tool-parser-plugin", "ssl-keyfile", "ssl-certfile", "config", "dataset",
        "allowed-local-media-path", "log-config-file", "input-file", "output-file", "middleware",
        "tool-call-parser", "reasoning-parser", "logits-processor-pattern", "api-key", "hf-token",
        "metadata", "kv-transfer-config", "tokenizer-mode", "extra-llm-api-options", "log-dir",
        "quantization-param-path", "lora-extra-vocab-size", "otlp-traces-endpoint",
        "code-revision", "model-name",
    }
)  # fmt: skip
"""Options that surely take a value; after any other a word may be the model itself."""

COMPILED = ("NEURON_COMPILED_ARTIFACTS", "COMPILER_WORKDIR_ROOT")
"""Variables that name compiled weights beside the model they were made from."""

REMOTE_VARIABLES = ("TRUST_REMOTE_CODE", "HF_TRUST_REMOTE_CODE", "VLLM_TRUST_REMOTE_CODE")
TELLING = frozenset(
    {
        "trust-remote-code", "load-format", "weight-loader", "task", "runner", "convert",
        "pooling-task", "is-embedding", "embeddings", "embedding", "reranking", "rerank",
        "model-loader-extra-config", "config", "extra-llm-api-options", "llm-api-options",
        "config-file", "model-control-mode", "hf-overrides", "code-revision",
    }
)  # fmt: skip
"""Options that say something, whichever the runtime."""
CONFIG_OPTIONS = frozenset({"config", "extra-llm-api-options", "llm-api-options", "config-file"})
TASKS = {
    "embed": Role.EMBEDDING, "embedding": Role.EMBEDDING, "pooling": Role.EMBEDDING,
    "score": Role.RERANKER, "reranker": Role.RERANKER, "rerank": Role.RERANKER,
}  # fmt: skip
TASK_SWITCHES = {
    "embeddings": Role.EMBEDDING, "embedding": Role.EMBEDDING,
    "reranking": Role.RERANKER, "rerank": Role.RERANKER,
}  # fmt: skip


@lru_cache(maxsize=256)
def told(runtime: Runtime) -> frozenset[str]:
    """Options that say something to a runtime beside those that name weights."""
    return TELLING.union(runtime.revisions, runtime.files, runtime.adapters, runtime.remote_code)


@lru_cache(maxsize=256)
def variables_of(
    runtime: Runtime,
) -> tuple[tuple[tuple[str, Role], ...], tuple[str, ...], tuple[str, ...]]:
    """Variables of a runtime: those that pin a role, those that name a file, remote code."""
    return (
        tuple((name, role) for name, role in runtime.revisions.items() if name.isupper()),
        tuple(name for name in runtime.files if name.isupper()),
        (*REMOTE_VARIABLES, *runtime.remote_code),
    )
