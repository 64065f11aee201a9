# ruff: noqa: E501 - one case a line reads best
"""Kinds that name weights in their own fields."""

from typing import Any

import pytest

from weighmaster.core.detect import detect
from weighmaster.core.values import Setting

Found = dict[str, tuple[str, str]]
"""Role and field path by reference."""


def found(group: str, kind: str, spec: Any, **rest: Any) -> Found:
    document = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec, **rest}
    return {use.reference.canonical: (use.role.value, use.path) for use in detect(document)}


KSERVE = "serving.kserve.io"

CASES: dict[str, tuple[tuple[str, str, Any], Found]] = {
    "KServe's model": (
        (KSERVE, "InferenceService", {"predictor": {"model": {"storageUri": "gs://b/m"}}}),
        {"gs://b/m": ("base", "spec.predictor.model.storageUri")},
    ),
    "KServe's frameworks of old": (
        (KSERVE, "InferenceService", {"predictor": {"sklearn": {"storageUri": "s3://b/m"}}}),
        {"s3://b/m": ("base", "spec.predictor.sklearn.storageUri")},
    ),
    "KServe's revision spelling": (
        (KSERVE, "InferenceService", {"predictor": {"model": {"storageUri": "hf://a/b:v1"}}}),
        {"hf://a/b@v1": ("base", "spec.predictor.model.storageUri")},
    ),
    "KServe's storage": (
        (KSERVE, "InferenceService", {"predictor": {"model": {"storage": {"key": "k", "path": "p"}}}}),
        {"kserve-storage://k/p": ("base", "spec.predictor.model.storage.path")},
    ),
    "KServe's many URIs": (
        (KSERVE, "InferenceService", {"predictor": {"model": {"storageUris": [{"uri": "s3://b/m"}, {"uri": "s3://b/l"}]}}}),
        {
            "s3://b/m": ("base", "spec.predictor.model.storageUris[0]"),
            "s3://b/l": ("base", "spec.predictor.model.storageUris[1]"),
        },
    ),
    "KServe's many URIs beside the model": (
        (KSERVE, "InferenceService", {"predictor": {"model": {"modelFormat": {"name": "vllm"}}, "storageUris": [{"uri": "hf://a/b"}, {"uri": "hf://a/l", "mountPath": "/mnt/l"}]}}),
        {
            "hf://a/b": ("base", "spec.predictor.storageUris[0].uri"),
            "hf://a/l": ("base", "spec.predictor.storageUris[1].uri"),
        },
    ),
    "KServe's canaries": (
        (KSERVE, "InferenceService", {"predictor": {"model": {"storageUri": "hf://a/b"}}, "canary": [{"trafficPercent": 1, "predictor": {"name": "n", "model": {"storageUri": "hf://a/c"}}}]}),
        {
            "hf://a/b": ("base", "spec.predictor.model.storageUri"),
            "hf://a/c": ("base", "spec.canary[0].predictor.model.storageUri"),
        },
    ),
    "KServe's custom container": (
        (KSERVE, "InferenceService", {"predictor": {"containers": [{"image": "x", "env": [{"name": "STORAGE_URI", "value": "s3://b/m"}]}]}}),
        {"s3://b/m": ("base", "spec.predictor.containers[0].env[0].value")},
    ),
    "KServe's runtime arguments": (
        (KSERVE, "InferenceService", {"predictor": {"model": {"modelFormat": {"name": "huggingface"}, "args": ["--model_id=a/b"]}}}),
        {"hf://a/b": ("base", "spec.predictor.model.args[0]")},
    ),
    "KServe's transformer and explainer": (
        (KSERVE, "InferenceService", {"predictor": {"model": {"storageUri": "s3://b/m"}}, "transformer": {"containers": [{"image": "kserve/huggingfaceserver", "args": ["--model_id=a/b"]}]}, "explainer": {"alibi": {"storageUri": "s3://b/e"}}}),
        {
            "s3://b/m": ("base", "spec.predictor.model.storageUri"),
            "hf://a/b": ("base", "spec.transformer.containers[0].args[0]"),
            "s3://b/e": ("explainer", "spec.explainer.alibi.storageUri"),
        },
    ),
    "KServe's workers": (
        (KSERVE, "InferenceService", {"predictor": {"model": {"storageUri": "s3://b/m"}, "workerSpec": {"containers": [{"command": ["vllm", "serve", "a/b"]}]}}}),
        {
            "s3://b/m": ("base", "spec.predictor.model.storageUri"),
            "hf://a/b": ("base", "spec.predictor.workerSpec.containers[0].command[2]"),
        },
    ),
    "KServe without a model": (
        (KSERVE, "InferenceService", {"predictor": {"model": {"modelFormat": {"name": "x"}}}}),
        {"unresolved:kserve without a model": ("base", "spec.predictor.model.image")},
    ),
    "LLMInferenceService": (
        (KSERVE, "LLMInferenceService", {"model": {"uri": "hf://a/b", "lora": {"adapters": [{"uri": "hf://c/d"}]}}}),
        {
            "hf://a/b": ("base", "spec.model.uri"),
            "hf://c/d": ("adapter", "spec.model.lora.adapters[0].uri"),
        },
    ),
    "LLMInferenceService without a model": (
        (KSERVE, "LLMInferenceService", {"replicas": 1}),
        {"unresolved:spec.model missing": ("base", "spec")},
    ),
    "LocalModelCache": (
        (KSERVE, "LocalModelCache", {"sourceModelUri": "s3://b/m"}),
        {"s3://b/m": ("fetch", "spec.sourceModelUri")},
    ),
    "TrainedModel": (
        (KSERVE, "TrainedModel", {"model": {"storageUri": "s3://b/m"}}),
        {"s3://b/m": ("base", "spec.model.storageUri")},
    ),
    "Predictor on a claim": (
        (KSERVE, "Predictor", {"path": "x/y", "storage": {"persistentVolumeClaim": {"claimName": "c"}}}),
        {"pvc://c/x/y": ("base", "spec.path")},
    ),
    "Predictor in a bucket": (
        (KSERVE, "Predictor", {"path": "x", "storage": {"s3": {"secretKey": "k", "bucket": "b"}}}),
        {"s3://b/x": ("base", "spec.path")},
    ),
    "RayService's model source": (
        ("ray.io", "RayService", {"serveConfigV2": "applications:\n- args:\n    llm_configs:\n    - model_loading_config: {model_id: alias, model_source: a/b}\n"}),
        {"hf://a/b": ("base", "spec.serveConfigV2")},
    ),
    "RayService's model id": (
        ("ray.io", "RayService", {"serveConfigV2": "applications:\n- args:\n    llm_configs:\n    - model_loading_config: {model_id: a/b}\n"}),
        {"hf://a/b": ("base", "spec.serveConfigV2")},
    ),
    "RayService's variables": (
        ("ray.io", "RayService", {"serveConfigV2": "applications:\n- runtime_env: {env_vars: {MODEL_ID: a/b}}\n"}),
        {"hf://a/b": ("base", "spec.serveConfigV2")},
    ),
    "RayService's code": (
        ("ray.io", "RayService", {"serveConfigV2": "applications:\n- name: llm\n  import_path: app:chat\n"}),
        {"unresolved:app:chat": ("base", "spec.serveConfigV2")},
    ),
    "RayJob's variables": (
        ("ray.io", "RayJob", {"entrypoint": "python batch.py", "runtimeEnvYAML": "env_vars: {MODEL_SOURCE: 's3://b/m'}"}),
        {"s3://b/m": ("base", "spec.runtimeEnvYAML")},
    ),
    "RayCluster with an engine": (
        ("ray.io", "RayCluster", {"headGroupSpec": {"template": {"spec": {"containers": [{"name": "h", "image": "rayproject/ray-llm:2"}]}}}}),
        {"dynamic:ray": ("base", "spec.headGroupSpec.template.spec.containers[0].image")},
    ),
    "NIMService": (
        ("apps.nvidia.com", "NIMService", {"image": {"repository": "nvcr.io/nim/a/b", "tag": "1"}}),
        {"nim:nvcr.io/nim/a/b:1": ("base", "spec.image.repository")},
    ),
    "NIMService with a name": (
        ("apps.nvidia.com", "NIMService", {"image": {"repository": "nvcr.io/nim/nvidia/llm-nim"}, "env": [{"name": "NIM_MODEL_NAME", "value": "hf://a/b"}]}),
        {"hf://a/b": ("base", "spec.env[0].value")},
    ),
    "NIMService with a cache": (
        ("apps.nvidia.com", "NIMService", {"image": {"repository": "nvcr.io/nim/nvidia/llm-nim"}, "storage": {"nimCache": {"name": "c"}}}),
        {"ref:apps.nvidia.com/NIMCache/c": ("base", "spec.storage.nimCache.name")},
    ),
    "NIMService with adapters": (
        ("apps.nvidia.com", "NIMService", {"image": {"repository": "nvcr.io/nim/a/b"}, "storage": {"pvc": {"name": "c"}}, "env": [{"name": "NIM_PEFT_SOURCE", "value": "/model-store/l"}]}),
        {
            "nim:nvcr.io/nim/a/b": ("base", "spec.image.repository"),
            "pvc://c/l": ("adapter", "spec.env[0].value"),
        },
    ),
    "NIMCache of NGC": (
        ("apps.nvidia.com", "NIMCache", {"source": {"ngc": {"modelPuller": "nvcr.io/nim/a/b:1"}}}),
        {"nim:nvcr.io/nim/a/b:1": ("fetch", "spec.source.ngc.modelPuller")},
    ),
    "NIMCache of the hub": (
        ("apps.nvidia.com", "NIMCache", {"source": {"hf": {"namespace": "a", "modelName": "b"}}}),
        {"hf://a/b": ("fetch", "spec.source.hf.modelName")},
    ),
    "DynamoGraphDeployment": (
        ("nvidia.com", "DynamoGraphDeployment", {"services": {"W": {"volumeMounts": [{"name": "c", "mountPoint": "/m"}], "extraPodSpec": {"mainContainer": {"image": "x", "command": ["python3", "-m", "dynamo.vllm"], "args": ["--model", "/m/x"]}}}}}),
        {"pvc://c/x": ("base", "spec.services.W.extraPodSpec.mainContainer.args[1]")},
    ),
    "Workspace": (
        ("kaito.sh", "Workspace", {"inference": {"preset": {"name": "phi-4"}, "adapters": [{"source": {"image": "r.example/l:1"}}]}}),
        {
            "kaito-preset://phi-4": ("base", "spec.inference.preset.name"),
            "oci://r.example/l:1": ("adapter", "spec.inference.adapters[0].source.image"),
        },
    ),
    "InferenceSet": (
        ("kaito.sh", "InferenceSet", {"template": {"inference": {"preset": {"name": "a/b"}}}}),
        {"hf://a/b": ("base", "spec.template.inference.preset.name")},
    ),
    "MultiRoleInference": (
        ("kaito.sh", "MultiRoleInference", {"model": {"name": "a/b"}}),
        {"hf://a/b": ("base", "spec.model.name")},
    ),
    "RAGEngine": (
        ("kaito.sh", "RAGEngine", {"embedding": {"local": {"modelID": "a/b"}}}),
        {"hf://a/b": ("embedding", "spec.embedding.local.modelID")},
    ),
    "ModelMirror": (
        ("kaito.sh", "ModelMirror", {"source": {"registry": "huggingface", "modelID": "a/b"}}),
        {"hf://a/b": ("fetch", "spec.source.modelID")},
    ),
    "KubeAI's Model": (
        ("kubeai.org", "Model", {"url": "hf://a/b", "adapters": [{"name": "l", "url": "s3://b/l"}]}),
        {"hf://a/b": ("base", "spec.url"), "s3://b/l": ("adapter", "spec.adapters[0].url")},
    ),
    "KubeAI's claim": (
        ("kubeai.org", "Model", {"url": "pvc://c?model=x", "features": ["TextEmbedding"]}),
        {"pvc://c": ("embedding", "spec.url")},
    ),
    "OpenModel of a hub": (
        ("llmaz.io", "OpenModel", {"source": {"modelHub": {"name": "ModelScope", "modelID": "a/b"}}}),
        {"modelscope://a/b": ("base", "spec.source.modelHub.modelID")},
    ),
    "OpenModel on a node": (
        ("llmaz.io", "OpenModel", {"source": {"uri": "host:///x"}}),
        {"hostpath:///x": ("base", "spec.source.uri")},
    ),
    "Playground": (
        ("inference.llmaz.io", "Playground", {"modelClaims": {"models": [{"name": "m"}, {"name": "d", "role": "draft"}]}}),
        {
            "ref:llmaz.io/OpenModel/m": ("base", "spec.modelClaims.models[0].name"),
            "ref:llmaz.io/OpenModel/d": ("draft", "spec.modelClaims.models[1].name"),
        },
    ),
    "ModelAdapter": (
        ("model.aibrix.ai", "ModelAdapter", {"artifactURL": "huggingface://a/b"}),
        {"hf://a/b": ("adapter", "spec.artifactURL")},
    ),
    "ModelClaim": (
        ("model.aibrix.ai", "ModelClaim", {"artifactURL": "s3://b/m"}),
        {"s3://b/m": ("base", "spec.artifactURL")},
    ),
    "ModelBooster": (
        ("workload.serving.volcano.sh", "ModelBooster", {"backends": [{"modelURI": "hf://a/b", "loraAdapters": [{"artifactURL": "hf://c/d"}]}]}),
        {
            "hf://a/b": ("base", "spec.backends[0].modelURI"),
            "hf://c/d": ("adapter", "spec.backends[0].loraAdapters[0].artifactURL"),
        },
    ),
    "Seldon's Model": (
        ("mlops.seldon.io", "Model", {"storageUri": "gs://b/m"}),
        {"gs://b/m": ("base", "spec.storageUri")},
    ),
    "Seldon's explainer": (
        ("mlops.seldon.io", "Model", {"storageUri": "gs://b/m", "explainer": {"type": "x"}}),
        {"gs://b/m": ("explainer", "spec.storageUri")},
    ),
    "SeldonDeployment": (
        ("machinelearning.seldon.io", "SeldonDeployment", {"predictors": [{"graph": {"name": "r", "children": [{"implementation": "SKLEARN_SERVER", "modelUri": "gs://b/m"}]}}]}),
        {"gs://b/m": ("base", "spec.predictors[0].graph.children[0].modelUri")},
    ),
    "LLMKube's Model": (
        ("inference.llmkube.dev", "Model", {"source": "hf://a/b/x.gguf"}),
        {"hf://a/b#x.gguf": ("fetch", "spec.source")},
    ),
    "LLMKube's service": (
        ("inference.llmkube.dev", "InferenceService", {"modelRef": "m"}),
        {"ref:inference.llmkube.dev/Model/m": ("base", "spec.modelRef")},
    ),
    "llm-d's ModelService": (
        ("llm-d.ai", "ModelService", {"modelArtifacts": {"uri": "pvc://c/m"}, "decode": {"containers": [{"name": "vllm", "args": ["{{ .X }}"]}]}}),
        {"pvc://c/m": ("base", "spec.modelArtifacts.uri")},
    ),
    "OME's model in Oracle's storage": (
        ("ome.io", "ClusterBaseModel", {"storage": {"storageUri": "oci://n/x/b/y/o/z"}}),
        {"oci-objectstorage://n/x/b/y/o/z": ("fetch", "spec.storage.storageUri")},
    ),
    "OPEA's connector": (
        ("gmc.opea.io", "GMConnector", {"nodes": {"root": {"steps": [{"name": "Tgi", "internalService": {"config": {"MODEL_ID": "a/b"}}}, {"name": "Llm", "internalService": {"config": {"TGI_LLM_ENDPOINT": "x"}}}]}}}),
        {"hf://a/b": ("base", "spec.nodes.root.steps[0].internalService.config.MODEL_ID")},
    ),
    "the production stack": (
        ("production-stack.vllm.ai", "VLLMRuntime", {"model": {"modelURL": "a/b"}}),
        {"hf://a/b": ("base", "spec.model.modelURL")},
    ),
    "AIM": (
        ("aim.silogen.ai", "AIMService", {"model": {"image": "r.example/aim:1"}}),
        {"aim:r.example/aim:1": ("base", "spec.model.image")},
    ),
    "AIM's cache": (
        ("aim.eai.amd.com", "AIMModelCache", {"sourceUri": "hf://a/b"}),
        {"hf://a/b": ("fetch", "spec.sourceUri")},
    ),
    "ModelBooster's only backend": (
        ("workload.serving.volcano.sh", "ModelBooster", {"backend": {"modelURI": "a/b"}}),
        {"hf://a/b": ("base", "spec.backend.modelURI")},
    ),
    "a kind nobody knows": (
        ("example.org", "Thing", {"deep": [{"modelURI": "s3://b/m"}]}),
        {"s3://b/m": ("base", "spec.deep[0].modelURI")},
    ),
    "KubeBlocks": (
        ("apps.kubeblocks.io", "Cluster", {"componentSpecs": [{"componentDef": "vllm"}]}),
        {"default:vllm": ("base", "spec.componentSpecs[0].componentDef")},
    ),
    "Sedna": (
        ("sedna.io", "Model", {"url": "s3://b/m.pb"}),
        {"s3://b/m.pb": ("fetch", "spec.url")},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES.keys())
def test_a_kind_names(given: tuple[str, str, Any], expected: Found) -> None:
    assert found(*given) == expected


def test_a_workspace_of_the_first_version_has_no_spec() -> None:
    document = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "inference": {"preset": {"name": "phi-4"}},
    }
    (use,) = detect(document)
    assert (use.reference.canonical, use.path) == ("kaito-preset://phi-4", "inference.preset.name")


@pytest.mark.parametrize(
    ("group", "kind", "spec"),
    [
        ("kubeai.org", "Model", {"url": "hf://a/b", "args": ["--trust-remote-code"]}),
        (KSERVE, "LLMInferenceService", {"model": {"uri": "hf://a/b"}, "template": {"containers": [{"name": "main", "env": [{"name": "VLLM_ADDITIONAL_ARGS", "value": "--x --trust-remote-code"}]}]}}),
        ("apps.nvidia.com", "NIMService", {"image": {"repository": "x"}, "env": [{"name": "NIM_TRUST_CUSTOM_CODE", "value": "1"}]}),
        ("ray.io", "RayService", {"serveConfigV2": "applications:\n- args:\n    llm_configs:\n    - model_loading_config: {model_id: a/b}\n      engine_kwargs: {trust_remote_code: true}\n"}),
    ],
)  # fmt: skip
def test_remote_code_is_seen_in(group: str, kind: str, spec: Any) -> None:
    uses = detect({"apiVersion": f"{group}/v1", "kind": kind, "spec": spec})
    assert uses[0].process.remote_code is Setting.ON


def test_an_origin_override_of_a_custom_kind_is_seen() -> None:
    spec = {"url": "s3://b/m", "env": {"AWS_ENDPOINT_URL": "http://x"}}
    (use,) = detect({"apiVersion": "kubeai.org/v1", "kind": "Model", "spec": spec})
    assert use.process.origin_overrides == ("AWS_ENDPOINT_URL",)
