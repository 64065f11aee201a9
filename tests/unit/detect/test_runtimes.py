# ruff: noqa: E501 - one case a line reads best
"""One case at least for every runtime and channel: what it would load, in which role."""

from typing import Any

import pytest

from tests.unit.detect.manifests import (
    CLAIM,
    EMPTY_DIR,
    container,
    deployment,
    image,
    job,
    mounted,
    shell,
    variables,
    volume,
)
from weighmaster.core.detect import detect

PINNED = "a" * 40
LLAMA = "ghcr.io/ggml-org/llama.cpp:server"
TGI = "ghcr.io/huggingface/text-generation-inference:3"
TEI = "ghcr.io/huggingface/text-embeddings-inference:1.5"
SGLANG = ("python3", "-m", "sglang.launch_server")
M = {"volumeMounts": mounted("/m")}

CASES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "vllm serve": (container("vllm", "serve", "a/b", "--revision", PINNED), {f"hf://a/b@{PINNED}": "base"}),
    "the image of vllm": (image("vllm/vllm-openai:v1", "--model", "a/b"), {"hf://a/b": "base"}),
    "the image of vllm, positional": (image("vllm/vllm-openai:v1", "a/b", "--port", "1"), {"hf://a/b": "base"}),
    "vllm's tokenizer": (container("vllm", "serve", "a/b", "--tokenizer", "c/d"), {"hf://a/b": "base", "hf://c/d": "tokenizer"}),
    "vllm for embeddings": (container("vllm", "serve", "a/b", "--task", "embed"), {"hf://a/b": "embedding"}),
    "vllm for scores": (container("vllm", "serve", "a/b", "--task=score"), {"hf://a/b": "reranker"}),
    "vllm with adapters": (container("vllm", "serve", "a/b", "--lora-modules", "x=c/d", "y=e/f"), {"hf://a/b": "base", "hf://c/d": "adapter", "hf://e/f": "adapter"}),
    "vllm with a draft model": (container("vllm", "serve", "a/b", "--speculative-config", '{"model": "c/d"}'), {"hf://a/b": "base", "hf://c/d": "draft"}),
    "vllm from S3": (container("vllm", "serve", "s3://b/m", "--load-format", "runai_streamer"), {"s3://b/m": "base"}),
    "vllm with tensorizer": (container("vllm", "serve", "a/b", "--model-loader-extra-config", '{"tensorizer_uri": "s3://b/t"}'), {"hf://a/b": "base", "s3://b/t": "base"}),
    "vllm's batch runner": (container("vllm", "run-batch", "--model", "a/b"), {"hf://a/b": "base"}),
    "sglang": (container(*SGLANG, "--model-path", "a/b"), {"hf://a/b": "base"}),
    "sglang's alias": (container(*SGLANG, "--model=a/b"), {"hf://a/b": "base"}),
    "sglang with adapters and a draft": (container(*SGLANG, "--model-path", "a/b", "--lora-paths", "x=c/d", "e/f", "--speculative-draft-model-path", "g/h"), {"hf://a/b": "base", "hf://c/d": "adapter", "hf://e/f": "adapter", "hf://g/h": "draft"}),
    "dynamo": (container("python3", "-m", "dynamo.vllm", "--model", "a/b"), {"hf://a/b": "base"}),
    "trtllm-serve": (container("trtllm-serve", "serve", "a/b", "--port", "1"), {"hf://a/b": "base"}),
    "tgi": (image(TGI, "--model-id", "a/b"), {"hf://a/b": "base"}),
    "tgi by variables": (image(TGI, env=variables(MODEL_ID="a/b", REVISION=PINNED, LORA_ADAPTERS="c/d,e/f")), {f"hf://a/b@{PINNED}": "base", "hf://c/d": "adapter", "hf://e/f": "adapter"}),
    "tgi with nothing": (image(TGI), {"default:tgi": "base"}),
    "tei": (image(TEI, "--model-id=a/b"), {"hf://a/b": "embedding"}),
    "lorax": (container("lorax-launcher", "--model-id", "a/b"), {"hf://a/b": "base"}),
    "infinity": (image("michaelf34/infinity:1", "v2", "--model-id", "a/b"), {"hf://a/b": "embedding"}),
    "lmdeploy": (container("lmdeploy", "serve", "api_server", "a/b"), {"hf://a/b": "base"}),
    "aphrodite": (container("aphrodite", "run", "a/b"), {"hf://a/b": "base"}),
    "max": (container("max", "serve", "--model-path=a/b"), {"hf://a/b": "base"}),
    "fastchat": (container("python3", "-m", "fastchat.serve.model_worker", "--model-path", "a/b"), {"hf://a/b": "base"}),
    "llama -m": (image(LLAMA, "-m", "/m/x.gguf", **M), {"pvc://weights/x.gguf": "base"}),
    "llama --model": (container("/app/llama-server", "--model", "/m/x.gguf", **M), {"pvc://weights/x.gguf": "base"}),
    "llama -hf": (image(LLAMA, "-hf", "a/b:Q4_K_M"), {"hf://a/b@Q4_K_M": "base"}),
    "llama --hf-repo and --hf-file": (image(LLAMA, "--hf-repo", "a/b", "--hf-file", "x.gguf"), {"hf://a/b#x.gguf": "base"}),
    "llama -md": (image(LLAMA, "-m", "/m/x", "-md", "/m/d.gguf", **M), {"pvc://weights/x": "base", "pvc://weights/d.gguf": "draft"}),
    "llama -hfd": (image(LLAMA, "-m", "/m/x", "-hfd", "a/b", **M), {"pvc://weights/x": "base", "hf://a/b": "draft"}),
    "llama --lora": (image(LLAMA, "-m", "/m/x", "--lora", "/m/l.gguf", **M), {"pvc://weights/x": "base", "pvc://weights/l.gguf": "adapter"}),
    "llama --lora-scaled": (image(LLAMA, "-m", "/m/x", "--lora-scaled", "/m/l.gguf", "0.5", **M), {"pvc://weights/x": "base", "pvc://weights/l.gguf": "adapter"}),
    "llama --mmproj": (image(LLAMA, "-m", "/m/x", "--mmproj", "/m/p.gguf", **M), {"pvc://weights/x": "base", "pvc://weights/p.gguf": "projector"}),
    "llama -mu": (image(LLAMA, "-mu", "https://h.example/x.gguf"), {"https://h.example/x.gguf": "base"}),
    "llama by variables": (image(LLAMA, env=variables(LLAMA_ARG_HF_REPO="a/b", LLAMA_ARG_HF_FILE="x.gguf")), {"hf://a/b#x.gguf": "base"}),
    "llama in Python": (container("python3", "-m", "llama_cpp.server", "--model", "/m/x.gguf", **M), {"pvc://weights/x.gguf": "base"}),
    "ollama": (image("ollama/ollama:0.5"), {"dynamic:ollama": "base"}),
    "ollama that pulls": (shell("ollama serve & ollama pull a:7b; wait", image="ollama/ollama:0.5"), {"ollama://a:7b": "base"}),
    "xinference": (container("xinference-local", "--host", "0.0.0.0"), {"dynamic:model-platform": "base"}),
    "nim": (image("nvcr.io/nim/meta/llama:1.0"), {"nim:nvcr.io/nim/meta/llama:1.0": "base"}),
    "nim with a name": (image("nvcr.io/nim/nvidia/llm-nim:1", env=variables(NIM_MODEL_NAME="hf://a/b", NIM_PEFT_SOURCE="/m/l"), **M), {"hf://a/b": "base", "pvc://weights/l": "adapter"}),
    "triton": (image("nvcr.io/nvidia/tritonserver:25.01-py3", "tritonserver", "--model-repository=s3://b/r"), {"s3://b/r": "base"}),
    "triton in a shell": (shell("tritonserver --model-store=/m/r", **M), {"pvc://weights/r": "base"}),
    "triton on demand": (container("tritonserver", "--model-repository=/m", "--model-control-mode=explicit", **M), {"dynamic:triton": "base"}),
    "triton's launcher": (container("python3", "launch_triton_server.py", "--model_repo", "/m/r", **M), {"pvc://weights/r": "base"}),
    "tensorflow": (container("tensorflow_model_server", "--model_base_path=gs://b/m"), {"gs://b/m": "base"}),
    "tensorflow by name": (image("tensorflow/serving:2", env=variables(MODEL_NAME="x"), volumeMounts=mounted("/models/x")), {"pvc://weights": "base"}),
    "torchserve": (container("torchserve", "--start", "--models", "x=https://h.example/x.mar"), {"https://h.example/x.mar": "base"}),
    "torchserve by default": (image("pytorch/torchserve:1", volumeMounts=mounted("/home/model-server/model-store")), {"pvc://weights": "base"}),
    "mlserver": (image("seldonio/mlserver:1", "mlserver", "start", "/m/x", **M), {"pvc://weights/x": "base"}),
    "mlflow": (container("mlflow", "models", "serve", "-m", "models:/x/1"), {"models://x/1": "base"}),
    "mlflow's runs": (container("mlflow", "models", "serve", "--model-uri", "runs:/x/model"), {"runs://x/model": "base"}),
    "openvino": (image("openvino/model_server:1", "--model_path", "s3://b/m"), {"s3://b/m": "base"}),
    "onnx": (container("onnxruntime_server", "--model_path", "/m/x.onnx", **M), {"pvc://weights/x.onnx": "base"}),
    "djl": (image("deepjavalibrary/djl-serving:1", env=variables(HF_MODEL_ID="a/b")), {"hf://a/b": "base"}),
    "djl's option": (image("x/djl-inference:1", env=variables(OPTION_MODEL_ID="s3://b/m")), {"s3://b/m": "base"}),
    "jetstream": (image("x/jetstream-pytorch-server:1", "--model_id=a/b"), {"hf://a/b": "base"}),
    "maxtext": (image("x/jetstream-maxtext:1", "c.yml", "load_parameters_path=gs://b/m"), {"gs://b/m": "base"}),
    "whisper": (image("x/whisper-asr:1", env=variables(ASR_MODEL="medium")), {"whisper://medium": "base"}),
    "speaches": (image("ghcr.io/speaches-ai/speaches:1", env=variables(WHISPER__MODEL="a/b")), {"hf://a/b": "base"}),
    "kserve's server": (container("python", "-m", "huggingfaceserver", "--model_id=a/b"), {"hf://a/b": "base"}),
    "kaito's server": (container("accelerate", "launch", "tfs/inference_api.py", "--pretrained_model_name_or_path", "a/b"), {"hf://a/b": "base"}),
    "azure": (container("python", "serve.py", "--model-path", "azureml://r/m/1"), {"azureml://r/m/1": "base"}),
    "a custom server by variable": (image("x/server:1", env=variables(MODEL_ID="a/b")), {"hf://a/b": "base"}),
    "a custom server by path": (image("x/server:1", env=variables(MODEL_PATH="/m/x"), **M), {"pvc://weights/x": "base"}),
    "a custom server by option": (container("python", "app.py", "--model_path", "/m/x", **M), {"pvc://weights/x": "base"}),
    "a custom web server": (container("uvicorn", "app:app", env=variables(MODEL_ID="a/b")), {"hf://a/b": "base"}),
    "an image with its model": (image("x/aikit/llama3:8b", "run"), {"image-embedded:x/aikit/llama3:8b": "base"}),
    "a path in the image": (image("vllm/vllm-openai:v1", "--model=/opt/x"), {"image-embedded:vllm/vllm-openai:v1#/opt/x": "base"}),
    "an old name of the hub": (image(TGI, "--model-id", "gpt2"), {"hf://gpt2": "base"}),
    "a hub's page": (container("vllm", "serve", "https://huggingface.co/a/b"), {"hf://a/b": "base"}),
}  # fmt: skip


@pytest.mark.parametrize(("made", "expected"), CASES.values(), ids=CASES.keys())
def test_a_runtime_loads(made: dict[str, Any], expected: dict[str, str]) -> None:
    uses = detect(deployment(made, volumes=CLAIM))
    assert {use.reference.canonical: use.role.value for use in uses} == expected


VOLUMES: dict[str, tuple[list[Any], str]] = {
    "a claim": (CLAIM, "pvc://weights/x"),
    "a host path": (volume(hostPath={"path": "/data/"}), "hostpath:///data/x"),
    "a bucket": (volume(csi={"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": {"bucketName": "b"}}), "gs://b/x"),
    "a folder of a bucket": (volume(csi={"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": {"bucketName": "b", "mountOptions": "implicit-dirs,only-dir:d"}}), "gs://b/d/x"),
    "a model artifact": (volume(csi={"driver": "model.csi.modelpack.org", "volumeAttributes": {"model.csi.modelpack.org/reference": "r.example/m:1"}}), "oci://r.example/m:1"),
    "an image": (volume(image={"reference": "r.example/m:1"}), "oci://r.example/m:1"),
    "a share": (volume(nfs={"server": "n", "path": "/e"}), "nfs://n/e/x"),
    "a blob container": (volume(csi={"driver": "blob.csi.azure.com", "volumeAttributes": {"containerName": "c", "storageAccount": "s"}}), "az://s/c/x"),
    "nothing": (EMPTY_DIR, "unresolved:/x (emptyDir models)"),
}  # fmt: skip


@pytest.mark.parametrize(("volumes", "expected"), VOLUMES.values(), ids=VOLUMES.keys())
def test_a_path_stands_for_what_is_mounted_there(volumes: Any, expected: str) -> None:
    made = container("vllm", "serve", "/m/x", **M)
    assert [u.reference.canonical for u in detect(deployment(made, volumes=volumes))] == [expected]


def test_a_sub_path_is_part_of_the_reference() -> None:
    made = container("vllm", "serve", "/m/x", volumeMounts=mounted("/m", "deep/er"))
    (use,) = detect(deployment(made, volumes=CLAIM))
    assert use.reference.canonical == "pvc://weights/deep/er/x"


def test_a_claim_template_is_a_claim() -> None:
    (use,) = detect(deployment(container("vllm", "serve", "/m/x", **M)))
    assert use.reference.canonical == "pvc://models/x"


def test_image_volumes_with_models_count_even_when_nobody_names_their_path() -> None:
    volumes = volume(image={"reference": "r.example/llama:1"})
    (use,) = detect(deployment(container("sleep", "1"), volumes=volumes))
    assert (use.reference.canonical, use.path) == (
        "oci://r.example/llama:1",
        "spec.template.spec.volumes[0].image.reference",
    )


DOWNLOADS: dict[str, tuple[dict[str, Any], str]] = {
    "hf": (container("hf", "download", "a/b", "--local-dir", "/m"), "hf://a/b"),
    "huggingface-cli": (shell("pip install huggingface_hub && huggingface-cli download a/b --revision v1 --local-dir=/m"), "hf://a/b@v1"),
    "snapshot_download": (container("python", "-c", "from huggingface_hub import snapshot_download\nsnapshot_download(repo_id='a/b', local_dir='/m')"), "hf://a/b"),
    "git": (shell("git lfs install; git clone https://u:t@huggingface.co/a/b /m"), "hf://a/b"),
    "modelscope": (container("modelscope", "download", "--model", "a/b", "--local_dir", "/m"), "modelscope://a/b"),
    "aws": (container("aws", "s3", "sync", "s3://b/models/x", "/m"), "s3://b/models/x"),
    "gsutil": (shell("gsutil -m cp -r gs://b/models/x /m"), "gs://b/models/x"),
    "gcloud": (shell("gcloud storage cp -r gs://$P /m", env=variables(P="b/models/x")), "gs://b/models/x"),
    "azcopy": (container("azcopy", "copy", "https://s.blob.example/c/model?sig=x", "/m"), "https://s.blob.example/c/model"),
    "wget": (shell("wget https://h.example/model.gguf -O /m/model.gguf"), "https://h.example/model.gguf"),
    "curl": (shell("curl -L -o /m/model.gguf https://h.example/model.gguf"), "https://h.example/model.gguf"),
    "oras": (container("oras", "pull", "r.example/m:1", "-o", "/m"), "oci://r.example/m:1"),
    "kit": (image("ghcr.io/kitops-ml/kitops:1", "unpack", "r.example/m:1", "-d", "/m"), "oci://r.example/m:1"),
    "kit's variables": (image("ghcr.io/kitops-ml/kitops-init:1", env=variables(MODELKIT_REF="r.example/m:1", UNPACK_PATH="/m")), "oci://r.example/m:1"),
    "aibrix": (container("aibrix_download", "--model-uri", "tos://b/m", "--local-dir", "/m"), "tos://b/m"),
    "a downloader's image": (image("r.example/downloader:1", "--source", "a/b", "--output-dir", "/m"), "hf://a/b"),
    "a storage initializer": (image("kserve/storage-initializer:1", "gs://b/m", "/m"), "gs://b/m"),
    "kaggle": (shell("kaggle models instances versions download a/b/c/d/1"), "kaggle://a/b/c/d/1"),
}  # fmt: skip


@pytest.mark.parametrize(("made", "expected"), DOWNLOADS.values(), ids=DOWNLOADS.keys())
def test_a_job_fetches_with(made: dict[str, Any], expected: str) -> None:
    uses = detect(job({**made, "volumeMounts": mounted("/m")}, volumes=CLAIM))
    assert [(use.reference.canonical, use.role.value) for use in uses] == [(expected, "fetch")]


@pytest.mark.parametrize(("made", "expected"), list(DOWNLOADS.values())[:-1])
def test_a_path_stands_for_what_an_init_container_put_there(made: Any, expected: str) -> None:
    server = container("vllm", "serve", "/srv", volumeMounts=mounted("/srv"))
    fetch = {**made, "volumeMounts": mounted("/m")}
    uses = detect(deployment(server, initContainers=[fetch], volumes=EMPTY_DIR))
    assert (expected, "base") in {(use.reference.canonical, use.role.value) for use in uses}
    assert not any(use.reference.scheme == "unresolved" for use in uses)


def test_the_field_path_is_exact() -> None:
    made = container("vllm", args=["serve", "--port", "1", "--model", "a/b"])
    (use,) = detect(deployment(container("sleep", "1"), made))
    assert use.path == "spec.template.spec.containers[1].args[4]"
    assert use.process.container == "server"


@pytest.mark.parametrize(
    ("version", "kind", "wrap"),
    [
        ("v1", "Pod", lambda spec: spec),
        ("apps/v1", "StatefulSet", lambda spec: {"template": {"spec": spec}}),
        ("apps/v1", "DaemonSet", lambda spec: {"template": {"spec": spec}}),
        ("batch/v1", "Job", lambda spec: {"template": {"spec": spec}}),
        ("batch/v1", "CronJob", lambda spec: {"jobTemplate": {"spec": {"template": {"spec": spec}}}}),
        ("apps/v1beta1", "Deployment", lambda spec: {"template": {"spec": spec}}),
        ("serving.knative.dev/v1", "Service", lambda spec: {"template": {"spec": spec}}),
        ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", lambda spec: {"leaderWorkerTemplate": {"leaderTemplate": {"spec": spec}}}),
        ("jobset.x-k8s.io/v1alpha2", "JobSet", lambda spec: {"replicatedJobs": [{"template": {"spec": {"template": {"spec": spec}}}}]}),
        ("workloads.x-k8s.io/v1alpha2", "RoleBasedGroup", lambda spec: {"roles": [{"standalonePattern": {"templateRef": {"patch": {"spec": spec}}}}]}),
        ("example.org/v1", "Anything", lambda spec: {"deep": [{"er": {"podTemplate": {"spec": spec}}}]}),
        ("argoproj.io/v1alpha1", "Workflow", lambda spec: {"templates": [{"container": spec["containers"][0]}]}),
        ("example.org/v1", "Lone", lambda spec: {"server": {**spec["containers"][0]}}),
        ("", "", lambda spec: {"template": {"spec": spec}}),
    ],
)  # fmt: skip
def test_pods_are_found_in(version: str, kind: str, wrap: Any) -> None:
    spec = wrap({"containers": [container("vllm", "serve", "a/b")]})
    uses = detect({"apiVersion": version, "kind": kind, "spec": spec})
    assert [use.reference.canonical for use in uses] == ["hf://a/b"]


def test_lists_are_read_with_their_items_in_the_path() -> None:
    document = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [{}, deployment(container("vllm", "serve", "a/b"))],
    }
    (use,) = detect(document)
    assert use.path == "items[1].spec.template.spec.containers[0].command[2]"
