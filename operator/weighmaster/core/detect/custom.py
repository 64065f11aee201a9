"""Servers we have no table for: custom images that follow common habits.

The same variables occur in clients, trainers and benchmarks, so this module asks for signs of
serving and looks for signs against it.
"""

import re

from weighmaster.core import references
from weighmaster.core.detect import naming
from weighmaster.core.detect.bystanders import QUIET
from weighmaster.core.detect.command import CommandReader
from weighmaster.core.detect.containers import Container
from weighmaster.core.detect.downloaders import is_downloader
from weighmaster.core.detect.environment import has_variable
from weighmaster.core.detect.invocation import Invocation
from weighmaster.core.detect.options import full_name, scan
from weighmaster.core.detect.paths import Path
from weighmaster.core.detect.runtimes import language
from weighmaster.core.detect.runtimes.table import Runtime
from weighmaster.core.detect.servers import Server
from weighmaster.core.detect.serverwords import COMPILED
from weighmaster.core.detect.switches import setting, stronger
from weighmaster.core.detect.volumes import Volumes
from weighmaster.core.values import ModelReference, Role

BATCH_KINDS = frozenset({"Job", "CronJob", "JobSet"})
TRAINING_KINDS = frozenset(
    {"PyTorchJob", "TFJob", "MPIJob", "TrainJob", "TrainingRuntime", "ClusterTrainingRuntime",
     "XGBoostJob", "PaddleJob", "JAXJob", "Experiment", "Notebook", "RayCluster", "RayJob",
     "Workflow", "WorkflowTemplate", "CronWorkflow", "PipelineRun", "TaskRun", "Task", "VCJob"}
)  # fmt: skip

STRONG = (
    "MODEL_ID", "MODEL_PATH", "HF_MODEL_ID", "MODEL_URI", "MODEL_REPO", "MODEL_REPO_ID",
    "COMPILED_MODEL_ID", "MODEL_DIR", "HF_MODEL", "HF_MODEL_NAME", "LLM_MODEL_PATH",
    "BASE_MODEL_ID",
    "PRETRAINED_MODEL_NAME_OR_PATH", "MODEL_SOURCE", "MODEL_LOCATION", "DRAFT_MODEL_ID",
    "STORAGE_URI", "MODEL_URL", "MODEL_NAME_OR_PATH", "ADAPTER_MODEL_ID", "LORA_PATH",
    "TGI_MODEL_ID", "MODELKIT_REF", "MODEL_STORE", "MODEL_REPOSITORY", "COMPILER_WORKDIR_ROOT",
    "NEURON_COMPILED_ARTIFACTS",
)  # fmt: skip
WEAK = ("MODEL", "MODEL_NAME", "BASE_MODEL", "LLM_MODEL", "EMBEDDING_MODEL", "RERANKER_MODEL",
        "LLM_MODEL_ID", "EMBEDDING_MODEL_ID", "MODEL_TAG", "CHECKPOINT_PATH",
        "VLLM_MODEL")  # fmt: skip

_TRAINING = re.compile(
    r"torchrun|\btrain(?:ing|er)?\b|train(?:_\w+)?\.py|fine-?_?tun|\btrl\b|axolotl|llamafactory|"
    r"(?<!--)quantiz|llm-compressor|benchmark|\bbench\b|lm_eval|lm-eval|evaluat|"
    r"accelerate launch(?!.{0,200}infer)"
    r"|deepspeed|horovod|genai-perf|llmperf|locust|guidellm|inference-perf|\btune run\b|"
    r"\b(?:sft|dpo|grpo|eval|notebook|jupyter|optimizer)\b|pretrain(?!ed)|ray job submit|pytest",
    re.IGNORECASE,
)
_WEB = re.compile(
    r"uvicorn|gunicorn|hypercorn|fastapi|flask|litserve|ray serve|serve run|streamlit"
)
_CLIENT_NAME = re.compile(r"(?:URL|ENDPOINT|HOST|BASE|SERVER|ADDRESS|ADDR|SERVICE|API_BASE|URI)\Z")
_NOT_CLIENT = re.compile(
    r"HF_|AWS_|S3_|OTEL|PROXY|MLFLOW|MINIO|DATABASE|REDIS|POSTGRES|MODEL_|STORAGE|WANDB|TOS_|MONGO|"
    r"JAEGER|PROMETHEUS|RAY_|NATS|ETCD|CALLBACK"
)
_SERVING_NAME = re.compile(
    r"(?:embedding|infer|predict|serv(?:e|ing)|\bllm|diffusion|vllm|model|sglang|triton|transformer)"
)
_PREPARING = re.compile(r"compil|convert|download|fetch|pull|export|stag(?:e|ing)|prefetch|warm",
                        re.IGNORECASE)  # fmt: skip
_COMPILING = re.compile(r"compil|convert", re.IGNORECASE)
_STRONG_OPTIONS = frozenset(
    {"triton-model-repo-dir", "model-repo-dir"}
) | frozenset(
    {"model-path", "model-id", "model-uri", "model-dir", "storage-uri", "model-repo", "hf-model-id",
     "pretrained-model-name-or-path", "model-repository", "checkpoint-path", "ckpt-path",
     "gguf-path",
     "lora-path", "adapter-path", "git-url", "model-url", "load-parameters-path", "lora-dir"}
)  # fmt: skip

_TELLING_NAMES = ("VLLM_", "SGLANG_", "HF_", "HUGGING_FACE", "HUGGINGFACE", "TRTLLM_", "NIM_")

CUSTOM = Runtime(name="custom")
_OPTIONS = Runtime(
    name="custom",
    options={
        **language.OPTIONAL.options,
        **dict.fromkeys(sorted(_STRONG_OPTIONS - {"lora-path", "adapter-path"}), Role.BASE),
    },
    switches=language.OPTIONAL.switches,
)


class Guess(Server):
    """A custom server, and what it loads if nothing names it."""

    default: ModelReference | None = None


def read(
    container: Container, invocations: list[Invocation],
    commands: CommandReader, kind: str, volumes: Volumes,
) -> list[Guess]:  # fmt: skip
    """The servers that ``container`` may be; empty for clients, trainers and everything else."""
    programs = [found for found in invocations if found.place is None]
    line = "\n".join(container.elements)
    about = f"{container.name or ''} {container.image}".lower()
    batch = kind in BATCH_KINDS
    training = kind in TRAINING_KINDS or bool(
        _TRAINING.search(line[:20_000]) or _TRAINING.search(about)
    )
    guess = Guess(CUSTOM, container, container.environment, volumes, (container.path, "image"))
    if not training:
        _by_options(guess, container, programs, kind)
    if guess.named:
        return [guess]
    accelerated = container.accelerated
    if batch and (accelerated or commands.scripts):
        prepared = _preparing(guess, container, f"{about} {line[:5000]}", training)
        if prepared:
            return prepared
    client = not accelerated and _is_client(container)
    if training or client or _is_idle(programs, container, commands):
        return []
    if batch:
        return []
    _by_variables(guess, accelerated)
    if guess.named:
        return [guess]
    web = bool(_WEB.search(line))
    named = bool(_SERVING_NAME.search(about)) and bool(container.image)
    if accelerated and (web or (named and not container.elements) or _has_weak(container)):
        guess.default = (
            references.unresolved(_first_words(line))
            if container.elements
            else references.image_embedded(container.image)
        )
        return [guess]
    if accelerated and commands.scripts and named:
        guess.default = references.unresolved(commands.scripts[0][0].rpartition("/")[2])
        return [guess]
    return []


def could_serve(container: Container, kind: str) -> bool:
    """Whether an accelerator and the variables of model servers or the hub come together."""
    if kind in TRAINING_KINDS or not container.accelerated:
        return False
    about = " ".join(container.elements)[:20_000]
    if _TRAINING.search(about) or _TRAINING.search(container.image):
        return False
    environment = container.environment
    return any(
        name.startswith(_TELLING_NAMES) or name in STRONG
        for names in (environment.values, environment.origins)
        for name in names
    )


def is_rehearsal(script: str) -> bool:
    """Whether the name of a script says that it trains, evaluates or measures."""
    return bool(_TRAINING.search(script[:500]))


def is_web(container: Container) -> bool:
    """Whether the command starts a web server for an application."""
    return bool(_WEB.search("\n".join(container.elements)[:20_000]))


def _first_words(line: str) -> str:
    return " ".join(line.split()[:12])


def _by_options(guess: Guess, container: Container, programs: list[Invocation], kind: str) -> None:
    """``--model-path`` and the like, given to a program we do not know."""
    starts = [p for p in programs if p.program not in QUIET and not is_downloader(p.program)]
    environment = container.environment
    if (
        container.arguments_from == 0
        and container.elements[:1]
        and container.elements[0][:1] == "-"
    ):
        words = [environment.expand(word) for word in container.elements]
        starts = [Invocation("", words, list(range(len(words))), environment)]
    elif container.arguments_from == 0:
        _assignments(guess, container)
    for start in starts:
        guess.environment = start.environment
        guess.place.environment = start.environment
        found = scan(start.words, start.origins, _OPTIONS)
        for option in found.options:
            if not option.value:
                continue
            path = container.element_path(option.origin)
            if option.name in _STRONG_OPTIONS and _nameable(option.value, guess):
                guess.name(
                    _OPTIONS.options.get(option.name, Role.ADAPTER), option.value, path, option.name
                )
            elif (
                option.name == "model"
                and kind not in BATCH_KINDS
                and not start.program
                and _nameable(option.value, guess)
                and not _is_client(container)
            ):
                guess.name(Role.BASE, option.value, path, option.name)
        if guess.named:
            for option in found.options:
                if full_name(option.name, _OPTIONS) == "trust-remote-code":
                    guess.remote = stronger(guess.remote, setting(option.value))
            guess.named = _unique(guess.named)
            return


def _assignments(guess: Guess, container: Container) -> None:
    """``load_parameters_path=...`` without dashes, as MaxText takes it."""
    for index, word in enumerate(container.elements):
        name, equals, value = word.partition("=")
        if equals and name == "load_parameters_path" and value:
            expanded = container.environment.expand(value)
            guess.name(Role.BASE, expanded, container.element_path(index), name)


def _unique(named: list[tuple[Role, str, Path, str]]) -> list[tuple[Role, str, Path, str]]:
    return list(dict.fromkeys(named))


def _by_variables(guess: Guess, accelerated: bool) -> None:
    environment = guess.environment
    for name in (*STRONG, *(WEAK if accelerated or not guess.container.image else ())):
        if name in environment.values:
            value = environment.values[name]
        elif name in environment.origins:
            value = f"$({name})"
        else:
            continue
        if _nameable(value, guess):
            role = Role.DRAFT if "DRAFT" in name else Role.BASE
            if name in COMPILED and not value.startswith("/"):
                continue
            if "LORA" in name or "ADAPTER" in name:
                role = Role.ADAPTER
            path = environment.path(name, guess.fallback)
            guess.name(role, value, path, name)


def _preparing(guess: Guess, container: Container, about: str, training: bool) -> list[Guess]:
    """A job that compiles, converts or stages a model."""
    environment = container.environment
    if not (_COMPILING if training else _PREPARING).search(about) and (
        training or not any(name.startswith("HF_") for name in environment.values)
    ):
        return []
    for name in (*STRONG, *WEAK):
        value = environment.values.get(name, f"$({name})" if name in environment.origins else "")
        if (
            value
            and name != "COMPILED_MODEL_ID"
            and (references.is_repository_name(value) or "://" in value or value.startswith("$("))
        ):
            guess.name(Role.FETCH, value, environment.path(name, guess.fallback), name)
            return [guess]
    return []


def _nameable(value: str, guess: Guess) -> bool:
    """Whether a value can be weights: a repository, a URI of a store, a path on a volume."""
    if references.is_repository_name(value):
        return not value.startswith(("hosted_vllm/", "openai/", "ollama/", "default/"))
    if value.startswith("hf:") and references.is_repository_name(value[3:]):
        return True
    if "://" in value:
        return (
            not value.startswith(("http://", "https://"))
            or naming.hub_url(value) is not None
            or (
                value.rpartition("/")[2].endswith(
                    (".gguf", ".safetensors", ".onnx", ".bin", ".tar.gz")
                )
            )
        )
    if value.startswith("/"):
        found = guess.place.volumes.resolve(guess.container, value)
        return bool(found) or has_variable(value) or guess.container.accelerated
    if naming.is_canonical(value) and "-" in value:
        return True
    if has_variable(value):
        return (
            guess.environment.origin_of(value) is not None or "/" in value or value.startswith("$(")
        )
    return bool(naming.is_placeholder(value))


def _has_weak(container: Container) -> bool:
    return any(name in container.environment.values for name in WEAK)


def _is_client(container: Container) -> bool:
    """Whether it talks to a server elsewhere: an address of one among its variables."""
    for name, value in container.environment.values.items():
        if (
            value.startswith(("http://", "https://"))
            and "huggingface" not in value
            and _CLIENT_NAME.search(name)
            and not _NOT_CLIENT.search(name)
        ):
            return True
    return False


def _is_idle(programs: list[Invocation], container: Container, commands: CommandReader) -> bool:
    """Whether the command does nothing but wait, copy or print."""
    if not container.elements or commands.code:
        return False
    if container.arguments_from == 0 and container.elements[0][:1] == "-":
        return False
    return all(
        p.program in QUIET or is_downloader(p.program) or p.program == "ray" for p in programs
    )
