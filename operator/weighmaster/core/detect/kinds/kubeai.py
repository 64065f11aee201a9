"""KubeAI: one ``Model`` is one server."""

from collections.abc import Mapping

from weighmaster.core import references
from weighmaster.core.detect.context import Context
from weighmaster.core.detect.kinds.plan import Fields, Plan, process_of, uri
from weighmaster.core.detect.options import scan
from weighmaster.core.detect.paths import below
from weighmaster.core.detect.reading import Json, items, mapping, text
from weighmaster.core.detect.revisions import at_revision, is_fetched
from weighmaster.core.detect.runtimes import language
from weighmaster.core.detect.sink import Sink
from weighmaster.core.values import ModelReference, Role

GROUP = "kubeai.org"
_ROLES = {"TextEmbedding": Role.EMBEDDING, "Reranking": Role.RERANKER}


def model(document: Mapping[str, Json], context: Context, sink: Sink) -> Plan:
    """``Model``: ``url``, ``adapters[].url``, and engine arguments."""
    del context
    spec = mapping(document.get("spec"))
    engine = text(spec.get("engine")) or "VLLM"
    fields = Fields(document, sink, process_of(engine.lower(), spec))
    features = [text(feature) for feature in items(spec.get("features"))]
    role = _ROLES.get(features[0], Role.BASE) if len(features) == 1 else Role.BASE
    url = text(spec.get("url"))
    reference = _read(url) or references.unresolved("spec.url missing")
    if engine == "VLLM" and "cacheProfile" not in spec and is_fetched(reference, url):
        reference = at_revision(reference, _revision(items(spec.get("args"))), "")
    fields.add(reference, role, below(None, "spec", "url"), "KubeAI model")
    for index, adapter in enumerate(items(spec.get("adapters"))):
        path = below(None, "spec", "adapters", index, "url")
        fields.add(_read(text(mapping(adapter).get("url"))), Role.ADAPTER, path, "KubeAI adapter")
    return Plan(walk=False)


def _revision(arguments: list[Json]) -> str | None:
    """``--revision`` among the arguments that go to vLLM after the model's name."""
    words = [text(word) for word in arguments]
    found = scan(words, list(range(len(words))), language.VLLM)
    named = [option.value for option in found.options if option.name == "revision"]
    return named[-1] if named else None


def _read(url: str) -> ModelReference | None:
    """``hf://org/name``, ``ollama://name``, ``pvc://claim?model=x``, ``s3://``, ``gs://``."""
    if url.startswith("pvc://") and "?" in url:
        return uri(url.partition("?")[0])
    return uri(url)


HANDLERS = {(GROUP, "Model"): model}
