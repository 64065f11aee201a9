"""KubeRay: Serve applications in a YAML string, and jobs with a runtime environment."""

import re
from collections.abc import Mapping

from weighmaster.core import references
from weighmaster.core.detect import pods
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.environment import is_variable
from weighmaster.core.detect.kinds.plan import Plan, process_of, uri
from weighmaster.core.detect.paths import Path, below
from weighmaster.core.detect.reading import Json, at, items, mapping, text
from weighmaster.core.detect.revisions import at_revision
from weighmaster.core.detect.runtimes import of_image
from weighmaster.core.detect.sink import Sink
from weighmaster.core.detect.yamltree import parse_text
from weighmaster.core.values import ModelReference, Process, Role, Setting

GROUP = "ray.io"
MAX_NODES = 20_000

_VARIABLE = re.compile(
    r"(?:\A|_)MODEL(?:_(?:ID|PATH|NAME|SOURCE|URI|REPO|NAME_OR_PATH))?\Z|\AHF_MODEL|_MODEL_ID\Z"
)
_WEIGHTY = re.compile(
    r"model|llm|vllm|falcon|bert|llama|gemma|qwen|mistral|diffusion|whisper|mobilenet|resnet|gpt|"
    r"transformer|torch|generat|embed|finetuned|infer|translat|summar|stable|classif|chat|detect",
    re.IGNORECASE,
)
_SECRET_WORDS = ("NAME", "SERVED", "ALIAS")


def service(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``RayService``: read ``serveConfigV2``."""
    del context
    path = below(None, "spec", "serveConfigV2")
    configuration = at(document, "spec", "serveConfigV2")
    tree = parse_text(configuration) if type(configuration) is str else configuration
    if configuration is None:
        tree = _old(mapping(at(document, "spec", "serveConfig")))
    if type(tree) is not dict:
        image = _image(document, "rayClusterConfig")
        if configuration:
            reference = references.unresolved("serveConfigV2 cannot be read")
        elif of_image(image) is not None or "llm" in image:
            reference = references.dynamic("ray")
        else:
            return Plan()
        sink.add(reference, Role.BASE, path, process_of("ray-serve"), "Serve application")
        return Plan()
    applications = items(tree.get("applications")) or [tree]
    for application in applications:
        _application(mapping(application), sink)
    return Plan()


def _old(config: dict[str, Json]) -> dict[str, Json] | None:
    """``serveConfig`` of v1alpha1, as the one application it is."""
    if not config:
        return None
    environment = config.get("runtimeEnv")
    tree = parse_text(environment) if type(environment) is str else environment
    return {"import_path": config.get("importPath"), "runtime_env": tree}


def _application(application: dict[str, Json], sink: Sink) -> None:
    path = below(None, "spec", "serveConfigV2")
    process = _process(application)
    before = len(sink.uses)
    _models(application, sink, process)
    if len(sink.uses) == before:
        _variables(application, sink, process)
    if len(sink.uses) == before:
        entry = text(application.get("import_path"))
        about = (
            f"{entry} {text(application.get('name'))} {text(application.get('route_prefix'))} "
            + " ".join(text(mapping(d).get("name")) for d in items(application.get("deployments")))
            + " ".join(_packages(application))
        )
        if _WEIGHTY.search(about):
            sink.add(
                references.unresolved(entry or "Serve application"), Role.BASE, path, process,
                "Serve application whose code names the model",
            )  # fmt: skip


def _packages(application: dict[str, Json]) -> list[str]:
    pip = at(application, "runtime_env", "pip")
    return [text(package) for package in items(pip)]


def _process(application: dict[str, Json]) -> Process:
    found = process_of("ray-serve", {"env": at(application, "runtime_env", "env_vars")})
    if "trust_remote_code" in str(application)[:100_000]:
        for _, key, value in _members(application):
            if key == "trust_remote_code" and value is not False and value != "false":
                return Process(
                    runtime="ray-serve", remote_code=Setting.ON,
                    origin_overrides=found.origin_overrides,
                )  # fmt: skip
    return found


def _members(tree: Json) -> list[tuple[dict[str, Json], str, Json]]:
    """Every key and value of a tree with the mapping that has them, without recursion."""
    found: list[tuple[dict[str, Json], str, Json]] = []
    stack = [tree]
    while stack and len(found) < MAX_NODES:
        value = stack.pop()
        if type(value) is dict:
            for key, inner in value.items():
                found.append((value, key, inner))
                if type(inner) in (dict, list):
                    stack.append(inner)
        elif type(value) is list:
            stack.extend(inner for inner in value if type(inner) in (dict, list))
    return found


def _models(application: dict[str, Json], sink: Sink, process: Process) -> None:
    """``model_loading_config`` and the engine's own options."""
    path = below(None, "spec", "serveConfigV2")
    drafts: set[int] = set()
    for owner, key, value in _members(application.get("args")):
        if id(owner) in drafts:
            continue
        if key == "model_loading_config" and type(value) is dict:
            source = value.get("model_source")
            if type(source) is dict:
                source = source.get("bucket_uri") or source.get("uri")
            engine = mapping(owner.get("engine_kwargs"))
            base = _at(text(source) or text(value.get("model_id")), engine.get("revision"))
            _add(base, Role.BASE, path, process, sink)
            tokenizer = _at(text(value.get("tokenizer_source")), _tokenizer_revision(engine))
            _add(tokenizer, Role.TOKENIZER, path, process, sink)
        elif key in ("tokenizer", "tokenizer_path"):
            tokenizer = _at(text(value), _tokenizer_revision(owner))
            _add(tokenizer, Role.TOKENIZER, path, process, sink)
        elif key == "speculative_config" and type(value) is dict:
            drafts.add(id(value))
            draft = _at(text(value.get("model")), value.get("revision"))
            _add(draft, Role.DRAFT, path, process, sink)
        elif key == "lora_config" and type(value) is dict:
            adapter = named(text(value.get("dynamic_lora_loading_path")))
            _add(adapter, Role.ADAPTER, path, process, sink)
        elif (
            key in ("model", "model_name_or_path", "model_path", "hf_model_id")
            and type(value) is str
        ):
            _add(named(value), Role.BASE, path, process, sink)


def _tokenizer_revision(engine: dict[str, Json]) -> Json:
    """The revision of a tokenizer: in vLLM it is the model's, unless it is given its own."""
    return engine.get("tokenizer_revision") or engine.get("revision")


def _at(value: str, revision: Json) -> ModelReference | None:
    """A model source at the revision that the engine is told to load."""
    reference = named(value)
    spelt = text(revision)
    if reference is None or not spelt or reference.scheme != "hf" or not reference.known:
        return reference
    found = at_revision(reference, spelt, "")
    return found if references.is_revision(spelt) else references.unexpanded(found)


def _variables(application: dict[str, Json], sink: Sink, process: Process) -> None:
    path = below(None, "spec", "serveConfigV2")
    places = [mapping(at(application, "runtime_env", "env_vars"))]
    for deployment in items(application.get("deployments")):
        places.append(mapping(at(deployment, "ray_actor_options", "runtime_env", "env_vars")))
        places.append(mapping(mapping(deployment).get("user_config")))
    for place in places:
        for name, value in place.items():
            if (
                type(name) is str
                and _VARIABLE.search(name.upper())
                and "SERVED" not in name.upper()
            ):
                spelt = text(value)
                if "/" in spelt or is_variable(spelt):
                    _add(named(spelt), Role.BASE, path, process, sink)


def _add(
    reference: ModelReference | None, role: Role, path: Path, process: Process, sink: Sink
) -> None:
    if reference is not None:
        sink.add(reference, role, path, process, "Serve configuration")


def named(value: str) -> ModelReference | None:
    """A model source: a repository, a URI, or something only the pod knows."""
    if not value:
        return None
    return uri(value, hub="hf")


def job(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``RayJob``: a batch job that loads a model for itself, by its environment or its code."""
    spec = mapping(document.get("spec"))
    tree = mapping(parse_text(text(spec.get("runtimeEnvYAML"))))
    process = process_of("ray", {"env": tree.get("env_vars")})
    entry = text(spec.get("entrypoint"))
    training = re.search(r"train|fine-?_?tun|sft|dpo|grpo", entry, re.IGNORECASE)
    if not training:
        for name, value in mapping(tree.get("env_vars")).items():
            spelt = text(value)
            if type(name) is str and _VARIABLE.search(name.upper()) and "/" in spelt:
                reference = named(spelt)
                if reference is not None:
                    sink.add(
                        reference, Role.BASE, below(None, "spec", "runtimeEnvYAML"), process,
                        f"RayJob {name}",
                    )  # fmt: skip
        _entry(document, entry, context, sink)
    return Plan()


def _entry(document: Mapping[str, Json], entry: str, context: Context, sink: Sink) -> None:
    """The job's own command, run beside the files and variables of the head."""
    template = mapping(at(document, "spec", "rayClusterSpec", "headGroupSpec", "template"))
    head = mapping(template.get("spec"))
    containers = items(head.get("containers"))
    container = {key: value for key, value in mapping(containers[0] if containers else None).items()
                 if key not in ("lifecycle", "args")}  # fmt: skip
    container["command"] = ["sh", "-c", entry]
    around = pods.around(document, template.get("metadata"), context)
    pod = pods.Pod({"volumes": head.get("volumes")}, below(None, "spec"), around, "RayJob")
    pod.single = (container, below(None, "spec"))
    pod.line = below(None, "spec", "entrypoint")
    pods.read(pod, sink)


def cluster(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``RayCluster``: with a serving engine in its image, models come with applications later."""
    del context
    image = _image(document, "")
    lowered = image.lower()
    if (
        ("vllm" in lowered or "ray-llm" in lowered)
        and "verl" not in lowered
        and "train" not in lowered
    ):
        path = below(None, "spec", "headGroupSpec", "template", "spec", "containers", 0, "image")
        sink.add(
            references.dynamic("ray"), Role.BASE, path, process_of("ray"), "Ray with an engine"
        )
    return Plan()


def _image(document: Mapping[str, Json], member: str) -> str:
    base = at(document, "spec", member) if member else document.get("spec")
    containers = items(at(base, "headGroupSpec", "template", "spec", "containers"))
    return text(mapping(containers[0] if containers else None).get("image"))


HANDLERS = {
    (GROUP, "RayService"): service,
    (GROUP, "RayJob"): job,
    (GROUP, "RayCluster"): cluster,
}
