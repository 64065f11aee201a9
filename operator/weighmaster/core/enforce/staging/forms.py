"""Forms: how each runtime is told to serve a model from a folder, as it was served from the hub.

Every form is one that the runtime documents; where none is known, nothing is staged. Sources:

- vLLM, Aphrodite: ``--model`` is "name or path"; ``--served-model-name`` is the model's argument
  unless it is given, so it has to be given once that is a path (``ModelConfig``). LoRA modules have
  a name of their own (``name=path``).
- SGLang: ``--model-path`` is a local folder or a repository, ``--served-model-name`` as above;
  ``--lora-paths`` takes ``name=path``, and a name alone stands for both (``ServerArgs``).
- TGI: ``--model-id`` is a repository or a local folder, requests may name any model.
  ``LORA_ADAPTERS`` takes ``name=path`` (``parse_lora_adapters``).
- TEI: ``--model-id`` is a repository or a local folder; what requests say of the model is ignored.
- Infinity: ``--model-id`` and ``--served-model-name``, or ``INFINITY_MODEL_ID`` and
  ``INFINITY_SERVED_MODEL_NAME``, each for every model.
- LMDeploy: ``api_server MODEL_PATH``, and ``--model-name``, which is that path unless it is given.
- KServe's Hugging Face server: ``--model_dir`` is what ``--model_id`` is for the hub; it serves
  under ``--model_name``, whatever the model is.
- DJL Serving: ``HF_MODEL_ID`` and ``OPTION_MODEL_ID`` (``option.model_id``) take paths; it serves
  under ``lmi``, whatever the model is.

Offline, Transformers and huggingface_hub, which all of these load by, ask no hub for anything
(``HF_HUB_OFFLINE``, ``TRANSFORMERS_OFFLINE``).
"""

from collections.abc import Mapping

from msgspec import Struct

from weighmaster.core.values import Role

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
"""Variables that switch hub access off."""

TOKENS = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HF_API_TOKEN",
    "HUGGINGFACE_TOKEN", "HUGGING_FACE_TOKEN", "HUGGINGFACEHUB_API_TOKEN",
)  # fmt: skip
"""Variables by which servers are given a hub's token."""

_SERVED = frozenset({Role.BASE, Role.EMBEDDING, Role.RERANKER})
_ALL = _SERVED | {Role.TOKENIZER, Role.DRAFT, Role.ADAPTER}


class Form(Struct, frozen=True, kw_only=True):
    """How a runtime serves from folders.

    ``roles`` are those that can be a path. ``name`` is the option that keeps the name under which
    clients know the model, none where that does not depend on where it lies; ``unnamed`` are words
    of command lines that do not take it. ``variables`` may name the model, each with the one that
    keeps its name, if there is one. ``renamed`` are options that are spelt otherwise for a path,
    ``revisions`` those that say nothing of one. ``adapters`` says that adapters without a name are
    called by what they are named by.
    """

    roles: frozenset[Role] = _SERVED
    name: str | None = None
    unnamed: frozenset[str] = frozenset()
    variables: Mapping[str, str | None] = {}
    renamed: Mapping[str, str] = {}
    revisions: tuple[str, ...] = ("--revision",)
    adapters: bool = False


_VLLM = Form(
    roles=_ALL,
    name="--served-model-name",
    unnamed=frozenset({"bench", "run-batch"}),
    revisions=("--revision", "--tokenizer-revision", "--code-revision"),
)

FORMS: dict[str, Form] = {
    "vllm": _VLLM,
    "aphrodite": _VLLM,
    "sglang": Form(
        roles=_ALL,
        name="--served-model-name",
        revisions=("--revision", "--speculative-draft-model-revision"),
        adapters=True,
    ),
    "tgi": Form(
        roles=_SERVED | {Role.ADAPTER},
        variables={"MODEL_ID": None, "HF_MODEL_ID": None, "LORA_ADAPTERS": None},
        adapters=True,
    ),
    "tei": Form(variables={"MODEL_ID": None, "HF_MODEL_ID": None}),
    "infinity": Form(
        name="--served-model-name",
        variables={"INFINITY_MODEL_ID": "INFINITY_SERVED_MODEL_NAME"},
    ),
    "lmdeploy": Form(
        roles=_SERVED | {Role.DRAFT, Role.ADAPTER},
        name="--model-name",
        unnamed=frozenset({"gradio"}),
    ),
    "kserve": Form(
        renamed={"model-id": "--model_dir"}, revisions=("--model_revision", "--tokenizer_revision")
    ),
    "djl-serving": Form(variables={"HF_MODEL_ID": None, "OPTION_MODEL_ID": None}),
}
"""By the name of the runtime."""

BESIDE = (" tokenizer", " --code-revision")
"""What detection says of what is loaded out of the model's own repository, beside it."""

INSTEAD = "fetch it with `hf download --revision` in an init container and give the server its path"

_WHY = {
    "dynamo": "its frontend reads the model's files too, and has no part in the pod",
    "lorax": "requests that name the model would be taken to name an adapter, to be fetched",
    "tensorrt-llm": "it would serve the model by another name, that of its folder",
    "llama.cpp": "it has no option for a commit",
    "python": "it is named in code, which is not changed",
}


def why_not(runtime: str) -> str:
    """Why a runtime without a form has none."""
    return _WHY.get(runtime, f"no documented way is known to have {runtime} load it from a folder")


def is_beside(reason: str) -> bool:
    """Whether a use is what is loaded beside a model out of its repository."""
    return reason.endswith(BESIDE)
