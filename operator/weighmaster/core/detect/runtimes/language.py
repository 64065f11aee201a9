"""Servers of language models."""

from weighmaster.core.detect.runtimes.table import (
    ADAPTER,
    BASE,
    DRAFT,
    PROJECTOR,
    TOKENIZER,
    Runtime,
    options,
)
from weighmaster.core.values import Role

_SWITCHES = frozenset(
    {
        "trust-remote-code", "enforce-eager", "async-scheduling", "allow-credentials", "headless",
        "return-tokens-as-token-ids", "language-model-only", "skip-tokenizer-init", "omni",
        "skip-mm-profiling", "calculate-kv-scales", "fully-sharded-loras", "worker-use-ray",
        "engine-use-ray", "multi-step-stream-outputs", "interleave-mm-strings", "debug",
        "data-parallel-hybrid-lb", "data-parallel-external-lb", "log-requests", "show-time-cost",
        "ray-workers-use-nsight", "multi-lora", "speculative-disable-mqa-scorer", "is-embedding",
        "sharded", "auto-truncate", "json-output", "quiet", "verbose", "help", "version",
    }
)  # fmt: skip

VLLM = Runtime(
    name="vllm",
    options={
        **options(BASE, "model model-tag model-path tensorizer-uri tensorizer-dir"),
        **options(TOKENIZER, "tokenizer hf-config-path"),
        **options(DRAFT, "speculative-model draft-model spec-model"),
        **options(ADAPTER, "qlora-adapter-name-or-path"),
    },
    lists={"lora-modules": ADAPTER, "default-mm-loras": ADAPTER, "prompt-adapters": ADAPTER},
    documents={"speculative-config": DRAFT, "sc": DRAFT},
    variables={"VLLM_LORA_RESOLVER_CACHE_DIR": ADAPTER},
    positional=True,
    revisions={
        "revision": BASE,
        "tokenizer-revision": TOKENIZER,
        "spec-revision": DRAFT,
    },
    follows={TOKENIZER: BASE},
    switches=_SWITCHES,
    adapters=frozenset({"VLLM_ALLOW_RUNTIME_LORA_UPDATING"}),
    extra=("VLLM_ADDITIONAL_ARGS", "VLLM_EXTRA_ARGS", "EXTRA_ARGS", "VLLM_ARGS"),
)

SGLANG = Runtime(
    name="sglang",
    options={
        **options(BASE, "model-path model"),
        **options(TOKENIZER, "tokenizer-path tokenizer"),
        **options(DRAFT, "speculative-draft-model-path speculative-draft-model"),
    },
    lists={"lora-paths": ADAPTER},
    revisions={"revision": BASE, "speculative-draft-model-revision": DRAFT},
    follows={TOKENIZER: BASE},
    positional=False,
    switches=_SWITCHES,
    adapters=frozenset({"enable-dynamic-lora-loading"}),
    extra=("SGLANG_EXTRA_ARGS", "EXTRA_ARGS"),
)

DYNAMO = Runtime(
    name="dynamo",
    options={**VLLM.options, **SGLANG.options},
    lists={**VLLM.lists, **SGLANG.lists},
    documents=VLLM.documents,
    revisions={**SGLANG.revisions, **VLLM.revisions},
    follows=VLLM.follows,
    variables={"DYN_MODEL_PATH": BASE, "DYN_MODEL": BASE},
    switches=_SWITCHES,
    adapters=frozenset({"DYN_LORA_ENABLED", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"}),
)

TRTLLM = Runtime(
    name="tensorrt-llm",
    options={
        **options(BASE, "model model-path"),
        **options(TOKENIZER, "tokenizer tokenizer-dir"),
        **options(DRAFT, "speculative-model speculative-model-dir"),
    },
    positional=True,
    revisions={"revision": BASE, "hf-revision": BASE},
    switches=_SWITCHES,
)

TGI = Runtime(
    name="tgi",
    options={
        **options(BASE, "model-id model-name"),
        **options(TOKENIZER, "tokenizer-name tokenizer-config-path"),
        **options(DRAFT, "speculative-model"),
    },
    lists={"lora-adapters": ADAPTER, "adapter-id": ADAPTER},
    variables={
        **options(BASE, "MODEL_ID HF_MODEL_ID"),
        **options(ADAPTER, "LORA_ADAPTERS ADAPTER_ID"),
        **options(DRAFT, "SPECULATIVE_MODEL"),
    },
    revisions={"revision": BASE, "REVISION": BASE, "MODEL_REVISION": BASE},
    switches=_SWITCHES,
    remote_code=frozenset({"trust-remote-code", "TRUST_REMOTE_CODE"}),
    absent="default",
)

LORAX = Runtime(
    name="lorax",
    options=TGI.options,
    lists=TGI.lists,
    variables=TGI.variables,
    revisions=TGI.revisions,
    switches=_SWITCHES,
    adapters=frozenset({"lorax"}),
    remote_code=TGI.remote_code,
    absent="default",
)

TEI = Runtime(
    name="tei",
    options=options(Role.EMBEDDING, "model-id"),
    variables=options(Role.EMBEDDING, "MODEL_ID HF_MODEL_ID"),
    revisions={"revision": Role.EMBEDDING, "REVISION": Role.EMBEDDING},
    switches=_SWITCHES,
    absent="default",
    role=Role.EMBEDDING,
)

INFINITY = Runtime(
    name="infinity",
    options=options(Role.EMBEDDING, "model-id model-name-or-path"),
    variables=options(Role.EMBEDDING, "INFINITY_MODEL_ID"),
    revisions={"revision": Role.EMBEDDING, "INFINITY_REVISION": Role.EMBEDDING},
    subcommands=frozenset({"v2", "v1"}),
    switches=_SWITCHES,
    absent="default",
    role=Role.EMBEDDING,
)

LLAMA_CPP = Runtime(
    name="llama.cpp",
    options={
        **options(BASE, "m model hf hfr hf-repo mu model-url docker-repo dr models-dir"),
        **options(DRAFT, "md model-draft hfd hfrd hf-repo-draft spec-draft-model"),
        **options(PROJECTOR, "mm mmproj mmu mmproj-url"),
        **options(ADAPTER, "lora lora-scaled lora-base control-vector"),
        **options(TOKENIZER, "mv model-vocoder hfv hf-repo-v"),
    },
    variables={
        **options(BASE, "LLAMA_ARG_MODEL LLAMA_ARG_HF_REPO LLAMA_ARG_MODEL_URL"),
        **options(BASE, "LLAMA_ARG_DOCKER_REPO LLAMA_ARG_MODELS_DIR"),
        **options(DRAFT, "LLAMA_ARG_MODEL_DRAFT LLAMA_ARG_HFD_REPO LLAMA_ARG_SPEC_DRAFT_MODEL"),
        **options(PROJECTOR, "LLAMA_ARG_MMPROJ LLAMA_ARG_MMPROJ_URL"),
    },
    files=frozenset({"hf-file", "hff", "LLAMA_ARG_HF_FILE"}),
    switches=frozenset({"jinja", "fa", "embeddings", "embedding", "metrics", "no-mmap", "mlock"}),
    bare="path",
)

OLLAMA = Runtime(name="ollama", bare="ollama", absent="dynamic")

NIM = Runtime(
    name="nim",
    options={},
    variables={
        **options(BASE, "NIM_MODEL_NAME NIM_MODEL_PATH"),
        **options(TOKENIZER, "NIM_TOKENIZER"),
        **options(ADAPTER, "NIM_PEFT_SOURCE"),
        **options(DRAFT, "NIM_SPECULATIVE_MODEL"),
    },
    remote_code=frozenset(
        {"NIM_TRUST_CUSTOM_CODE", "NIM_FORCE_TRUST_REMOTE_CODE", "NIM_TRUST_REMOTE_CODE"}
    ),
    absent="image",
)

LMDEPLOY = Runtime(
    name="lmdeploy",
    options={
        **options(BASE, "model-path model"),
        **options(DRAFT, "speculative-draft-model"),
    },
    lists={"adapters": ADAPTER},
    positional=True,
    revisions={"revision": BASE},
    follows={DRAFT: BASE, ADAPTER: BASE},
    switches=_SWITCHES,
)

APHRODITE = Runtime(
    name="aphrodite",
    options=VLLM.options,
    lists=VLLM.lists,
    documents=VLLM.documents,
    positional=True,
    revisions=VLLM.revisions,
    follows=VLLM.follows,
    switches=_SWITCHES,
)

POSITIONAL = Runtime(
    name="llm-server",
    options={
        **options(BASE, "model model-path model-id model-name-or-path model-dir gguf-path"),
        **options(TOKENIZER, "tokenizer tokenizer-path"),
        **options(DRAFT, "draft-model-path"),
        **options(ADAPTER, "lora lora-path"),
    },
    positional=True,
    revisions={"revision": BASE},
    switches=_SWITCHES,
)

OPTIONAL = Runtime(
    name="llm-server",
    options={
        **POSITIONAL.options,
        **options(
            BASE, "m model-uri storage-uri pretrained-model-name-or-path load-parameters-path"
        ),
        **options(TOKENIZER, "tokenizer-dir"),
        **options(ADAPTER, "adapter-path lora-dir lora-paths peft-model"),
    },
    revisions={"revision": BASE},
    switches=_SWITCHES | {"allow-remote-files"},
)
