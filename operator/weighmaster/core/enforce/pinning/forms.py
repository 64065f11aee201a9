"""Forms: how each runtime is told which revision to load, and what to write where it cannot be.

Every form is one that the runtime documents; where none is known, there is none, however probable
one might be. Sources, by runtime:

- vLLM, Aphrodite: ``--revision``, ``--tokenizer-revision``, ``--code-revision``; ``revision`` in
  ``--speculative-config`` (``EngineArgs``, ``SpeculativeConfig``). LoRA modules are fetched by
  ``snapshot_download(repo_id)`` without one.
- SGLang: ``--revision``, ``--speculative-draft-model-revision`` (``ServerArgs``).
- Dynamo hands them on to the engine that it wraps.
- TensorRT-LLM: ``trtllm-serve --revision``.
- TGI and LoRAX: ``--revision`` or ``REVISION`` (launcher's arguments); TGI's adapters are
  ``id@revision`` (``parse_lora_adapters``). TEI: ``--revision`` or ``REVISION``.
- Infinity: ``--revision`` or ``INFINITY_REVISION``. LMDeploy: ``--revision``.
- KServe's Hugging Face server: ``--model_revision`` and ``--tokenizer_revision``, with underscores.
- DJL Serving: ``OPTION_REVISION`` (``option.revision``).
- KAITO's and FastChat's own servers: ``--revision``.
- ``hf download`` and ``huggingface-cli download``: ``--revision``. ``aibrix_download``:
  ``hf_revision`` in ``--download-extra-config`` (``DownloadExtraConfig``).
"""

from msgspec import Struct

from weighmaster.core.detect.runtimes import language
from weighmaster.core.values import Role


class Form(Struct, frozen=True, kw_only=True):
    """How a runtime is told the revision of a role.

    ``options`` are written after the model's name, each with the revision, and ``also`` are what
    else has to have it where nothing has one yet. ``value`` is what an option takes. ``variable``
    is the one that goes with a model named by a variable. ``member`` is that of a JSON document
    that names the model, ``suffix`` what comes between the name and the revision.
    """

    options: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    value: str = "{}"
    variable: str | None = None
    member: str | None = None
    suffix: str | None = None


_REVISION = Form(options=("--revision",))
_REVISION_OR_VARIABLE = Form(options=("--revision",), variable="REVISION")
_VLLM = {
    Role.BASE: _REVISION,
    Role.TOKENIZER: Form(options=("--tokenizer-revision",)),
}

FORMS: dict[str, dict[Role, Form]] = {
    "vllm": _VLLM,
    "aphrodite": _VLLM,
    "dynamo": _VLLM,
    "sglang": {Role.BASE: _REVISION},
    "tensorrt-llm": {Role.BASE: _REVISION},
    "tgi": {Role.BASE: _REVISION_OR_VARIABLE, Role.ADAPTER: Form(suffix="@")},
    "lorax": {Role.BASE: _REVISION_OR_VARIABLE},
    "tei": {Role.BASE: _REVISION_OR_VARIABLE},
    "infinity": {Role.BASE: Form(options=("--revision",), variable="INFINITY_REVISION")},
    "lmdeploy": {Role.BASE: _REVISION},
    "kserve": {
        Role.BASE: Form(options=("--model_revision",), also=("--tokenizer_revision",)),
        Role.TOKENIZER: Form(options=("--tokenizer_revision",)),
    },
    "llm-server": {Role.BASE: _REVISION},
    "djl-serving": {Role.BASE: Form(variable="OPTION_REVISION")},
}
"""By the name of the runtime, and by role."""

_BY_REASON = {
    "--code-revision": Form(options=("--code-revision",)),
    "speculative configuration": Form(member="revision"),
    "--spec-model": Form(options=("--speculative-config.revision",)),
    "--speculative-draft-model-path": Form(options=("--speculative-draft-model-revision",)),
    "--speculative-draft-model": Form(options=("--speculative-draft-model-revision",)),
}
"""By what detection says of the field, where the same role is told in several ways."""

DOWNLOADS: dict[str, Form] = {
    "hf download": _REVISION,
    "huggingface-cli download": _REVISION,
    "huggingface_hub.commands.huggingface_cli download": _REVISION,
    "huggingface_hub.cli.hf download": _REVISION,
    "storage initializer": Form(suffix=":"),
    "aibrix download": Form(options=("--download-extra-config",), value='{{"hf_revision": "{}"}}'),
}
"""By what detection says of a download."""

_FOLLOWERS = {
    runtime.name: frozenset(runtime.follows)
    for runtime in (
        *(language.VLLM, language.SGLANG, language.DYNAMO, language.APHRODITE, language.LMDEPLOY),
    )
}

LOADED_AS_BASE = frozenset({Role.BASE, Role.EMBEDDING, Role.RERANKER, Role.EXPLAINER, Role.FETCH})
"""Roles that a server loads as its own model."""

_STAGE = "fetch it with `hf download --revision` into a volume and name the path"

_INSTEAD = {
    "llama.cpp": "fetch the file with `hf download --revision` into a volume and name its path:"
    " llama.cpp has no option for a revision",
    "git clone": "use `hf download --revision`: git clones branches, not commits",
    "ollama": "use an OCI artifact by digest, or a file: Ollama's library has no immutable names",
    "nim": "name the NIM image by digest, or a model on a volume",
    "custom": f"{_STAGE}: this image is not known to take a revision",
    "kaito": f"{_STAGE} in a custom template: KAITO passes no revision of the weights on",
}


def follows(runtime: str, role: Role) -> bool:
    """Whether a runtime loads a role at its model's revision unless it is told another one."""
    return role in _FOLLOWERS.get(runtime, frozenset())


def form_of(runtime: str, role: Role, reason: str) -> Form | None:
    """The form for a role of a runtime; None where there is none."""
    if reason in DOWNLOADS:
        return DOWNLOADS[reason]
    by_role = FORMS.get(runtime)
    if by_role is None:
        return None
    said = _BY_REASON.get(reason.removeprefix(f"{runtime} "))
    if said is not None:
        return said
    return by_role.get(role) or (by_role.get(Role.BASE) if role in LOADED_AS_BASE else None)


def instead(runtime: str, role: Role, reason: str) -> str:
    """What to write where a revision cannot be."""
    if reason in _INSTEAD:
        return _INSTEAD[reason]
    if role is Role.ADAPTER and runtime in FORMS:
        return (
            f"{_STAGE}, or have it staged (content rules, downloads: Stage) and name it"
            " org/name@<commit>: adapters have no revision there"
        )
    if runtime in FORMS:
        return "write the revision into the manifest yourself, in a plain command line"
    return _INSTEAD.get(runtime, _STAGE)
