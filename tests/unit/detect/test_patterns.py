"""Habits of public manifests: patches, old versions, placeholders, questions to services."""

from typing import Any

import pytest

from tests.unit.detect.manifests import container, deployment, image, job, shell, variables
from weighmaster.core.detect import Context, detect
from weighmaster.core.values import Role

Found = set[tuple[str, str]]


def found(document: Any, context: Context | None = None) -> Found:
    uses = detect(document, context) if context else detect(document)
    return {(use.reference.canonical, use.role.value) for use in uses}


def kind(version: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": name, "metadata": {"name": "x"}, "spec": spec}


GROUP = ("workloads.x-k8s.io/v1alpha2", "RoleBasedGroup")


def _group(patch: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    reference = {"name": "t", "patch": {"spec": {"containers": [{"name": "server", **patch}]}}}
    role = {"name": "r", "standalonePattern": {"templateRef": reference}}
    template = {"name": "t", "template": {"spec": {"containers": [base]}}}
    return kind(*GROUP, roleTemplates=[template], roles=[role])


def test_a_role_runs_its_template_with_its_patch() -> None:
    base = image("lmsysorg/sglang:v0.5", env=variables(M="a/b"))
    command = ["python3", "-m", "sglang.launch_server", "--model-path", "$(M)"]
    (use,) = detect(_group({"command": command}, base))
    assert use.reference.canonical == "hf://a/b"
    patch = "spec.roles[0].standalonePattern.templateRef.patch.spec.containers[0]"
    assert use.path == f"{patch}.command[4]"


def test_a_patch_that_runs_something_else_replaces_the_templates_command() -> None:
    base = container("vllm", "serve", "a/b", image="vllm/vllm-openai:v1")
    assert found(_group({"command": ["mooncake_master"]}, base)) == set()
    assert found(_group({}, base)) == {("hf://a/b", "base")}


def test_a_shared_template_that_no_role_uses_runs_nothing() -> None:
    template = {"name": "t", "template": {"spec": {"containers": [image("lmsysorg/sglang:v1")]}}}
    assert found(kind(*GROUP, roleTemplates=[template], roles=[])) == set()


def test_a_ray_job_runs_the_code_it_mounts() -> None:
    head = image("rayproject/ray:2", volumeMounts=[{"name": "c", "mountPath": "/code"}])
    volumes = [{"name": "c", "configMap": {"name": "code"}}]
    group = {"template": {"spec": {"containers": [head], "volumes": volumes}}}
    document = kind(
        "ray.io/v1",
        "RayJob",
        entrypoint="python /code/run.py",
        rayClusterSpec={"headGroupSpec": group},
    )
    code = {"run.py": "p = pipeline('image-classification', model='a/b')"}
    context = Context(config_maps={("", "code"): code})
    (use,) = detect(document, context)
    assert (use.reference.canonical, use.path) == ("hf://a/b", "spec.entrypoint")


def test_the_old_serve_configuration_is_read() -> None:
    config = {"importPath": "app:entry", "runtimeEnv": 'env_vars: {"MODEL_ID": "a/b"}'}
    assert found(kind("ray.io/v1alpha1", "RayService", serveConfig=config)) == {
        ("hf://a/b", "base")
    }


def test_quantization_is_an_option_of_servers_and_a_job_of_its_own() -> None:
    patch = {"name": "server", "args": ["--model=$(M)", "--quantization=awq"]}
    assert found(deployment({**patch, "env": variables(M="a/b")})) == {("hf://a/b", "base")}


@pytest.mark.parametrize(
    "script",
    [
        "curl http://multimodal-embedding-model.team/embeddings",
        "until curl http://model-server:8000/ping; do sleep 1; done",
        "curl -X POST https://models.example.org/generate -d '{}'",
        "wget --post-data '{}' https://models.example.org/v2/predict",
    ],
)
def test_a_question_to_a_model_service_is_no_download(script: str) -> None:
    assert found(job(shell(script))) == set()


def test_a_file_of_weights_is_a_download_wherever_it_comes_from() -> None:
    made = job(shell("curl -LO http://minio:9000/models/m.gguf"))
    assert found(made) == {("http://minio:9000/models/m.gguf", "fetch")}


def test_copying_weights_out_of_a_mounted_bucket_is_a_download() -> None:
    mounts = [{"name": "b", "mountPath": "/gcs"}]
    csi = {"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": {"bucketName": "bucket"}}
    made = job(
        shell("cp -r /gcs/models/m /mnt/local/", volumeMounts=mounts),
        volumes=[{"name": "b", "csi": csi}],
    )
    assert found(made) == {("gs://bucket/models/m", "fetch")}


def test_an_address_for_results_is_no_model() -> None:
    spec = {"outputLocation": {"storageUri": "s3://results/x"}}
    assert found(kind("ome.io/v1beta1", "BenchmarkJob", **spec)) == set()
    assert found(kind("x.example/v1", "Thing", model={"storageUri": "s3://b/x"})) == {
        ("s3://b/x", "base")
    }


def test_images_that_a_bundle_mirrors_are_not_run() -> None:
    listed = [{"name": "llm", "image": "nvcr.io/nim/meta/llama:1"}]
    document = kind("operators.coreos.com/v1alpha1", "ClusterServiceVersion", relatedImages=listed)
    assert found(document) == set()


def test_an_explainer_that_loads_by_argument_is_an_explainer() -> None:
    explainer = {"containers": [image("x/alibi:1", "--storage_uri", "gs://b/explainer")]}
    document = kind("serving.kserve.io/v1beta1", "InferenceService", explainer=explainer)
    assert ("gs://b/explainer", Role.EXPLAINER.value) in found(document)
    white = {"storageUri": "gs://b/e", "whiteBox": {"storageUri": "gs://b/m"}}
    document = kind("mlops.seldon.io/v1alpha1", "Explainer", **white)
    assert found(document) == {("gs://b/e", "explainer"), ("gs://b/m", "base")}


def test_where_a_service_keeps_its_log_is_no_model() -> None:
    logger = {"storage": {"key": "k", "path": "/logs"}}
    predictor = {"model": {"storageUri": "gs://b/m"}, "logger": logger}
    document = kind("serving.kserve.io/v1beta1", "InferenceService", predictor=predictor)
    assert found(document) == {("gs://b/m", "base")}


def test_a_runner_without_an_image_is_a_container() -> None:
    runner = {"command": ["sh", "-c", "python3 -m sglang.launch_server --model-path a/b"]}
    document = kind("ome.io/v1beta1", "InferenceService", engine={"runner": runner})
    assert found(document) == {("hf://a/b", "base")}


def test_a_short_scheme_is_read() -> None:
    made = {"name": "server", "args": ["--task", "chat", "--model_path", "hf:a/b"]}
    assert found(deployment(made)) == {("hf://a/b", "base")}


def test_a_benchmark_in_a_servers_image_serves_nothing() -> None:
    made = shell("git clone https://x.example/y; python bench/benchmark_x.py", image="vllm/tpu:1")
    assert found(deployment(made)) == set()


def test_options_that_share_a_word_are_read_apart() -> None:
    words = ("--port 1 --model-url https://h.example/m.gguf", "--threads 2")
    made = image("ghcr.io/ggml-org/llama.cpp:server", *words)
    assert found(deployment(made)) == {("https://h.example/m.gguf", "base")}
    made = container("vllm", "serve", "a/b", '--speculative-config {"model": "c/d", "n": 1}')
    assert found(deployment(made)) == {("hf://a/b", "base"), ("hf://c/d", "draft")}


def test_a_patch_of_maxtext_names_its_parameters_without_dashes() -> None:
    made = {"name": "server", "args": ["model_name=gemma", "load_parameters_path=gs://b/ckpt"]}
    assert found(deployment(made)) == {("gs://b/ckpt", "base")}


def test_a_page_for_a_server_is_no_server() -> None:
    made = image("example/gradio-rag-vllm-openai:1", env=variables(MODEL_NAME="a/b"))
    assert found(deployment(made)) == set()


def test_setting_up_an_interpreter_starts_nothing() -> None:
    script = "update-alternatives --install /usr/bin/python python /usr/bin/python3.10 1\nnginx"
    assert found(deployment(shell(script, env=variables(VLLM_LOGGING_LEVEL="INFO")))) == set()


def test_an_image_that_speaks_brings_its_model() -> None:
    made = image("opea/speecht5:latest", env=variables(HF_HOME="/tmp"))
    assert found(deployment(made)) == {("image-embedded:opea/speecht5:latest", "base")}


@pytest.mark.parametrize(
    ("name", "serves"),
    [("r.example/x/ollama-ubi9:1", True), ("ollama:1", True), ("r.example/x/ollama-page:1", False)],
)
def test_builds_of_ollama_are_told_from_what_is_named_after_it(name: str, serves: bool) -> None:
    assert bool(found(deployment(image(name)))) is serves


MODELCAR = "ln -sf /proc/$$$$/root/models /mnt/models && sleep infinity"


def _with_modelcar(script: str = MODELCAR, **spec: Any) -> Found:
    """KServe's way to show the weights inside an image to its server."""
    mounts = [{"name": "shared", "mountPath": "/mnt"}]
    server = image("kserve/huggingfaceserver:v0.20.0", "--model_dir=/mnt/models",
                   volumeMounts=mounts)  # fmt: skip
    car = image("reg.example/models/m:v1", "sh", "-c", script, volumeMounts=mounts)
    given = {"containers": [server, {**car, "name": "modelcar"}],
             "volumes": [{"name": "shared", "emptyDir": {}}]}  # fmt: skip
    return found({"apiVersion": "v1", "kind": "Pod", "spec": {**given, **spec}})


def test_a_modelcar_shows_the_weights_in_its_image() -> None:
    seen = _with_modelcar(shareProcessNamespace=True)
    assert ("oci://reg.example/models/m:v1", "base") in seen
    assert {reference for reference, _ in seen} == {"oci://reg.example/models/m:v1"}


def test_a_link_to_processes_that_are_not_shared_leads_nobody_knows_where() -> None:
    seen = _with_modelcar()
    assert {reference.partition(":")[0] for reference, _ in seen} == {"unresolved"}


def test_what_a_modelcar_fetches_into_itself_is_shown_as_well() -> None:
    seen = _with_modelcar(f"hf download a/b --local-dir /models; {MODELCAR}",
                          shareProcessNamespace=True)  # fmt: skip
    assert {("oci://reg.example/models/m:v1", "base"), ("hf://a/b", "base")} <= seen


@pytest.mark.parametrize(
    "command",
    [
        "git -c http.sslVerify=false clone https://huggingface.co/a/b",
        "git -c http.https://huggingface.co.sslVerify=0 clone https://huggingface.co/a/b",
        "git clone http://huggingface.co/a/b",
        "curl -k -O https://huggingface.co/a/b/resolve/main/m.gguf",
        "curl -fsSLkO https://huggingface.co/a/b/resolve/main/m.gguf",
        "curl --cacert=/x -O https://huggingface.co/a/b/resolve/main/m.gguf",
        "wget --no-check-certificate https://huggingface.co/a/b/resolve/main/m.gguf",
    ],
)
def test_what_is_fetched_without_checking_who_answers_is_no_hubs(command: str) -> None:
    uses = detect(job(shell(command)))
    assert {use.reference.scheme for use in uses} == {"http"}


def test_a_host_after_the_fragment_of_an_address_is_none() -> None:
    command = "git clone https://evil.example#@huggingface.co/a/b"
    assert "hf://a/b" not in {name for name, _ in found(job(shell(command)))}
