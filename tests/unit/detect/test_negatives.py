# ruff: noqa: E501 - one case a line reads best
"""Ordinary workloads, clients, simulators, benchmarks and trainers load nothing that is served."""

from typing import Any

import pytest

from tests.unit.detect.manifests import (
    CLAIM,
    container,
    deployment,
    image,
    job,
    mounted,
    shell,
    variables,
)
from weighmaster.core.detect import detect

GPU = {"limits": {"nvidia.com/gpu": "1"}}

CASES = {
    "a web server": image("nginx:1.27", "-g", "daemon off;"),
    "a web application": container("gunicorn", "shop.wsgi:application", env=variables(PORT="80")),
    "a node application": container("npm", "start"),
    "a database": image("postgres:17", env=variables(POSTGRES_DB="model")),
    "a shop that sells models": image("shop/api:1", env=variables(CAR_MODEL="audi/a4")),
    "an idle server image": image("vllm/vllm-openai:v1", command=["sleep", "infinity"], resources=GPU),
    "an idle shell": shell("sleep infinity", image="nvcr.io/nvidia/tritonserver:25.01-py3"),
    "a Ray node without an application": shell("ray start --head --block", image="rayproject/ray:2"),
    "vllm bench serve": container("vllm", "bench", "serve", "--model", "a/b"),
    "the benchmark through the module": shell("python3 -m vllm.entrypoints.cli.main bench serve --model a/b"),
    "vllm launch render": container("vllm", "launch", "render", "a/b"),
    "a simulator": image("ghcr.io/example/llm-inference-sim:1", "--model", "a/b", "--lora-modules", "{}"),
    "a mock": image("example/vllm-mock:1", command=["python3", "app.py"]),
    "a router": image("example/lmstack-router:1", "--model", "a/b"),
    "a router of SGLang": container("python3", "-m", "sglang_router.launch_router", "--prefill", "http://a"),
    "a front end of Dynamo": container("python3", "-m", "dynamo.frontend", "--http-port", "8000"),
    "a proxy": image("ghcr.io/berriai/litellm:1", "--config", "/app/config.yaml"),
    "a chat page": image("example/chat:1", env=variables(MODEL_ID="a/b", HOST="http://llm:8000")),
    "an agent": image("example/agent:1", env=variables(LLM_BASE_URL="http://x/v1", MODEL_NAME="hosted_vllm/a/b")),
    "a page for Ollama": image("ghcr.io/open-webui/open-webui:1", env=variables(OLLAMA_BASE_URL="http://o:11434")),
    "waiting for a server": shell("until curl -s http://vllm:8000/v1/models; do sleep 1; done; nginx"),
    "installing a runtime": shell("pip install vllm sglang huggingface_hub && pytest"),
    "mentioning a server": shell("echo 'vllm serve a/b'; grep vllm /x; nginx"),
    "a comment": shell("# vllm serve a/b\nnginx"),
    "a device exporter": image("nvidia/dcgm-exporter:3", resources=GPU),
    "a notebook": container("start-notebook.sh", image="jupyter/tensorflow-notebook", resources=GPU),
    "a burn-in test": shell("/app/gpu_burn 300", resources=GPU),
    "a tracking server": container("mlflow", "server", "--port", "5000"),
    "controllers of FastChat": container("python3", "-m", "fastchat.serve.openai_api_server"),
    "an image volume of something else": container("sleep", "1"),
}  # fmt: skip

JOBS = {
    "fine-tuning": container("torchrun", "train.py", "--model_name_or_path", "a/b", resources=GPU),
    "fine-tuning by variables": image("x/finetune:1", env=variables(MODEL_NAME="a/b"), resources=GPU),
    "trl": shell('exec trl sft "$@"', args=["--model_name_or_path=a/b"], resources=GPU),
    "quantising": container("python", "main.py", image="x/llm-compressor", env=variables(MODEL_ID="a/b"), resources=GPU),
    "a benchmark of loading": container("python", "/deserialize_benchmark.py", env=variables(MODEL_ID="a/b"), resources=GPU),
    "an upload": shell("aws s3 sync /data/models/ s3://models/"),
    "an export": shell("gcloud storage cp -r /out/* gs://b/tuned-models/"),
    "a data set": container("huggingface-cli", "download", "--repo-type", "dataset", "a/b"),
    "a data set's clone": shell("git clone https://huggingface.co/datasets/a/b"),
    "a script from the web": shell("wget https://example.org/run.sh -O /run.sh; bash /run.sh"),
    "model-ish names in a benchmark": shell("genai-perf profile -m a/b --tokenizer a/b --url x:8000", image="nvcr.io/nvidia/vllm:1"),
}  # fmt: skip


@pytest.mark.parametrize("made", CASES.values(), ids=CASES.keys())
def test_nothing_is_found_in(made: dict[str, Any]) -> None:
    assert detect(deployment(made)) == ()


@pytest.mark.parametrize("made", JOBS.values(), ids=JOBS.keys())
def test_nothing_is_found_in_a_job_for(made: dict[str, Any]) -> None:
    assert detect(job(made)) == ()


def test_an_image_volume_of_something_else_is_no_model() -> None:
    volumes = [{"name": "java", "image": {"reference": "example/jre:21"}}]
    assert detect(deployment(container("sleep", "1"), volumes=volumes)) == ()


def test_a_mounted_claim_alone_is_no_model() -> None:
    made = container("sleep", "1", volumeMounts=mounted("/models"))
    assert detect(deployment(made, volumes=CLAIM)) == ()


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("networking.k8s.io/v1", "Ingress"),
        ("networking.istio.io/v1", "VirtualService"),
        ("serving.kserve.io/v1alpha1", "InferenceGraph"),
        ("mlops.seldon.io/v1alpha1", "Pipeline"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ],
)
def test_nothing_is_found_in_objects_of_kind(version: str, kind: str) -> None:
    spec = {"steps": [{"serviceName": "a"}], "model": "a/b", "template": {"x": 1}}
    document = {"apiVersion": version, "kind": kind, "spec": spec, "data": {"x": "vllm serve a/b"}}
    assert detect(document) == ()


def test_tuning_workspaces_serve_nothing() -> None:
    tuning = {"preset": {"name": "phi-3"}, "output": {"image": "x/y:1"}}
    document = {"apiVersion": "kaito.sh/v1beta1", "kind": "Workspace", "tuning": tuning}
    assert detect(document) == ()


def test_a_serve_application_without_a_model_is_none() -> None:
    config = "applications:\n- name: fruit\n  import_path: fruit.graph\n"
    spec = {"serveConfigV2": config}
    assert detect({"apiVersion": "ray.io/v1", "kind": "RayService", "spec": spec}) == ()
