"""What must hold for any input."""

import gc
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.detect.manifests import container, deployment, image, shell, variables
from weighmaster.core.detect import Context, detect

VLLM = "vllm/vllm-openai:v1"
WORDS = st.sampled_from(
    [
        "vllm", "serve", "org/name", "--model", "--model=org/x", "-m", "python3", "sh", "-c",
        "bash",
        "-lc", "vllm serve a/b", "$M", "$(M)", "${M:-x/y}", "ollama pull a", "--", "-", "", "env",
        "--lora-modules", "a=/b", "{", "[", '{"model": "a/b"}', "--speculative-config", "exec",
        "hf download x/y", "/models/x", "s3://b/k", "tritonserver", "--model-repository=/m",
        "for m in a b; do vllm serve $m; done", "cat <<EOF", "EOF", "git", "clone", "eval", "-S",
        "hf download q/r --local-dir /models", "aws s3 sync s3://b/k /models/z", "/models/x/y",
        "git clone https://huggingface.co/c/d /models/x", "cp -r /models/x /models/y",
        "ollama serve",
        "wget https://h/x.gguf -O /models/w.gguf", "vllm serve /models/x --lora-modules a=/models",
        "https://huggingface.co/a/b", "(", ")", "`", "'", '"', "\\", "\n", "xargs", "busybox", "cp",
    ]
)  # fmt: skip

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS
KEYS = st.text(max_size=8) | st.sampled_from(
    [
        "apiVersion", "kind", "metadata", "spec", "template", "containers", "initContainers",
        "name",
        "image", "command", "args", "env", "value", "valueFrom", "envFrom", "configMapRef",
        "volumes",
        "volumeMounts", "mountPath", "subPath", "persistentVolumeClaim", "claimName", "lifecycle",
        "postStart", "exec", "predictor", "model", "storageUri", "storage", "resources", "limits",
        "annotations", "weighmaster.dev/model", "items", "services", "extraPodSpec",
        "mainContainer",
        "inference", "preset", "adapters", "serveConfigV2", "url", "source", "hostPath", "csi",
    ]
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=40,
)
KINDS = st.sampled_from(
    [
        ("v1", "Pod"), ("apps/v1", "Deployment"), ("batch/v1", "Job"), ("batch/v1", "CronJob"),
        ("v1", "List"), ("serving.kserve.io/v1beta1", "InferenceService"),
        ("serving.kserve.io/v1alpha1", "LLMInferenceService"), ("ray.io/v1", "RayService"),
        ("ray.io/v1", "RayJob"), ("ray.io/v1", "RayCluster"), ("apps.nvidia.com/v1", "NIMService"),
        ("apps.nvidia.com/v1", "NIMCache"), ("nvidia.com/v1", "DynamoGraphDeployment"),
        ("kaito.sh/v1beta1", "Workspace"), ("kubeai.org/v1", "Model"), ("llmaz.io/v1", "OpenModel"),
        ("inference.llmaz.io/v1", "Playground"), ("mlops.seldon.io/v1", "Model"),
        ("machinelearning.seldon.io/v1", "SeldonDeployment"), ("model.aibrix.ai/v1",
        "ModelAdapter"),
        ("gmc.opea.io/v1", "GMConnector"), ("ome.io/v1", "BaseModel"), ("x.example/v1", "Thing"),
    ]
)  # fmt: skip
CONTAINERS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=5) | JSON,
        "image": st.sampled_from(["vllm/vllm-openai:v1", "ollama/ollama", "nginx", "x/kit"]) | JSON,
        "command": st.lists(WORDS, max_size=5) | JSON,
        "args": st.lists(WORDS, max_size=6) | JSON,
        "env": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["M", "MODEL_ID"]), "value": WORDS}),
            max_size=3,
        )
        | JSON,
        "envFrom": JSON,
        "volumeMounts": st.lists(
            st.fixed_dictionaries({"name": st.just("v"), "mountPath": st.just("/models")}),
            max_size=2,
        )
        | JSON,
        "lifecycle": JSON,
        "resources": st.just({"limits": {"nvidia.com/gpu": "1"}}) | JSON,
    },
)  # fmt: skip
LOOSE = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(JSON)
@LOOSE
def test_any_json_value_is_read_without_an_error(value: Any) -> None:
    assert isinstance(detect(value), tuple)


@given(KINDS, JSON, JSON)
@LOOSE
def test_any_object_of_a_known_kind_is_read_without_an_error(
    kind: tuple[str, str], spec: Any, metadata: Any
) -> None:
    document = {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, "spec": spec}
    document.update({"items": spec, "inference": spec})
    assert isinstance(detect(document), tuple)


@given(st.lists(CONTAINERS, max_size=4), st.lists(CONTAINERS, max_size=2), JSON)
@LOOSE
def test_any_pod_is_read_without_an_error_and_twice_alike(
    containers: list[Any], init: list[Any], volumes: Any
) -> None:
    document = deployment(*containers, initContainers=init, volumes=volumes)
    context = Context(config_maps={("ml", "a"): {"M": "vllm serve a/b"}})
    assert detect(document, context) == detect(document, context)


VOLUMES = st.sampled_from(
    [
        {"emptyDir": {}},
        {"persistentVolumeClaim": {"claimName": "c"}},
        {"hostPath": {"path": "/p"}},
        {"image": {"reference": "r/model:1"}},
    ]
)


@given(st.lists(CONTAINERS, min_size=1, max_size=4), CONTAINERS | JSON, st.integers(0, 4), VOLUMES)
@LOOSE
def test_adding_a_container_removes_no_model_use(
    containers: list[Any], added: Any, position: int, kind: dict[str, Any]
) -> None:
    """Only "nobody fills this emptyDir" may give way, to the download that fills it."""
    volumes = [{"name": "v", **kind}]
    before = detect(deployment(*containers, volumes=volumes))
    larger = list(containers)
    larger.insert(min(position, len(larger)), added)
    after = detect(deployment(*larger, volumes=volumes))
    missing = {(u.reference.canonical, u.role) for u in before} - {
        (u.reference.canonical, u.role) for u in after
    }
    assert not {name for name, _ in missing if "(emptyDir v)" not in name}
    assert len(after) >= len(before) - len(missing)
    assert bool(after) >= bool(before)


@given(st.text(alphabet=st.sampled_from(list("$(){}'\"`\\;&|<>#\n ab=@*-/:")), max_size=200))
@LOOSE
def test_any_script_is_read_without_an_error(script: str) -> None:
    assert isinstance(detect(deployment(shell("vllm serve a/b\n" + script))), tuple)


def _seconds(document: Any) -> float:
    best = 99.0
    gc.collect()  # else it is the other tests' objects that take the time
    for _ in range(3):
        start = time.process_time()
        detect(document)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize(
    "piece",
    [
        "$(", "${", "${A:-", "`", "'", '"', "\\", "{", "(", "A=$A$A;", "vllm serve a/b;", "<<E\n",
        "if x; then ", "[", "$A", '"$@" ', "f() {", "case a in b) ", "echo a | sh;", "\n#", "a=(",
        "&&", "> x", "eval ", "--lora-modules a=b ", "vllm serve $(", "for x in a b; do ", "$'",
        "bash -c 'vllm serve a/b';", "cat <<EOF > /a\nx\nEOF\n", "/a ", "sudo ", "<<<",
        "echo x >> f;", "alias a=b;a;", "cp vllm a;./a ", "find / -exec ",
        "find / -exec sh -c x \\;", "trap 'vllm serve a/b' 0;", "python3 -c 'os.system(x)';",
        "a vllm ", "awk '{a|b}';",
    ],
)  # fmt: skip
def test_time_grows_linearly_with_a_script_of(piece: str) -> None:
    small = deployment(shell("vllm serve a/b\n" + piece * 2_000))
    large = deployment(shell("vllm serve a/b\n" + piece * 8_000))
    assert _seconds(large) < 8 * _seconds(small) + 0.05


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda n: deployment(*[container("vllm", "serve", f"a/b{i}") for i in range(n)]), 200),
        (lambda n: deployment(container("vllm", "serve", *["--x", "a/b"] * n)), 2000),
        (lambda n: deployment(container(*["env"] * n, "vllm", "serve", "a/b")), 2000),
        (lambda n: deployment(image(VLLM, *["$(M)"] * n, env=variables(M="a/b"))), 2000),
        (
            lambda n: deployment(
                image(VLLM, env=variables(**{f"M{i}": f"$(M{i - 1})x" for i in range(n)}))
            ),
            1000,
        ),
        (lambda n: deployment(shell("python3 - <<E\n" + "snapshot_download(\n" * n + "\nE")), 2000),
        (lambda n: deployment(shell("python3 - <<E\n" + "os.system('a')\n" * n + "\nE")), 2000),
        (lambda n: deployment(shell("python3 - <<E\nrun([" + "'a'," * n + "\nE")), 2000),
        (lambda n: deployment(container("a", *["sh"] * n)), 2000),
        (lambda n: deployment(container("x", *["python3"] * n)), 2000),
        (
            lambda n: {"apiVersion": "a/v1", "kind": "T", "spec": [{"image": "x", "args": []}] * n},
            2000,
        ),
    ],
)  # fmt: skip
def test_time_grows_linearly_with_the_number_of(make: Any, size: int) -> None:
    assert _seconds(make(size * 4)) < 8 * _seconds(make(size)) + 0.05


def test_an_object_of_ten_thousand_levels_is_read() -> None:
    for key in ("spec", "containers"):
        value: Any = "x"
        for _ in range(10_000):
            value = {key: [value]}
        document = {"apiVersion": "a/v1", "kind": "T", "spec": value}
        assert isinstance(detect(document), tuple)


def test_lists_of_lists_are_read_without_recursion() -> None:
    value: Any = {"apiVersion": "v1", "kind": "List", "items": []}
    for _ in range(10_000):
        value = {"apiVersion": "v1", "kind": "List", "items": [value]}
    assert isinstance(detect(value), tuple)


def test_expanding_variables_stays_bounded() -> None:
    names = [{"name": "A0", "value": "x" * 1000}]
    names += [{"name": f"A{i}", "value": f"$(A{i - 1})$(A{i - 1})"} for i in range(1, 60)]
    assert detect(deployment(image("vllm/vllm-openai:v1", "--model", "$(A59)", env=names)))


def test_a_script_too_long_to_read_is_a_use() -> None:
    uses = detect(deployment(shell("set -- " + "a " * 3000 + '\ntrue "$@"' * 3000)))
    assert any(use.reference.scheme == "unresolved" for use in uses)


def _mounts(count: int) -> dict[str, Any]:
    return {"volumeMounts": [{"name": f"v{n}", "mountPath": f"/m{n}"} for n in range(count)]}


def _claims(count: int) -> list[Any]:
    return [
        {"name": f"v{n}", "persistentVolumeClaim": {"claimName": f"c{n}"}} for n in range(count)
    ]


def _group(count: int) -> dict[str, Any]:
    base = [container("vllm", "serve", f"a/b{n}", name=f"c{n}") for n in range(count // 4)]
    patch = {"spec": {"containers": [{"name": "c1", "args": ["x"]}]}}
    role = {"standalonePattern": {"templateRef": {"name": "t", "patch": patch}}}
    spec = {
        "roleTemplates": [{"name": "t", "template": {"spec": {"containers": base}}}],
        "roles": [role] * count,
    }
    return {"apiVersion": "workloads.x-k8s.io/v1alpha2", "kind": "RoleBasedGroup", "spec": spec}


WORST = {
    "servers on as many volumes": lambda: deployment(
        shell("\n".join(f"vllm serve /m{n}/x" for n in range(20_000)), **_mounts(20_000)),
        volumes=_claims(20_000),
    ),
    "a large environment and a long script": lambda: deployment(
        shell("vllm serve a/b\n" * 50_000, env=variables(**{f"V{n}": "x" for n in range(50_000)}))
    ),
    "a large environment that is assigned to": lambda: deployment(
        shell(
            "".join(f"A{n}=x; vllm serve a/b\n" for n in range(20_000)),
            env=variables(**{f"V{n}": "x" for n in range(40_000)}),
        )
    ),
    "a file that is run again and again": lambda: deployment(
        shell("cat > /a.sh <<EOF\n" + "A=b\n" * 50_000 + "EOF\n" + "bash /a.sh\n" * 50_000)
    ),
    "a configuration that is read again and again": lambda: deployment(
        shell(
            "cat > /c.yaml <<EOF\n"
            + "".join(f"k{n}: v\n" for n in range(50_000))
            + "EOF\n"
            + "vllm serve --config /c.yaml\n" * 5_000
        )
    ),
    "files and servers": lambda: deployment(
        shell(
            "".join(
                f"cat <<EOF > /a{n}\ntrust_remote_code: true\nEOF\nvllm serve a/b{n}\n"
                for n in range(40_000)
            )
        )
    ),
    "a long value in many arguments": lambda: deployment(
        image(VLLM, *["$(A)"] * 300_000, env=variables(A="x" * 16_000))
    ),
    "a value no process could get, in a script of servers": lambda: deployment(
        shell("vllm serve $A\n" * 10_000, env=variables(A="b" * 1_300_000))
    ),
    "a value just short enough, in a script of servers": lambda: deployment(
        shell("vllm serve $A\n" * 10_000, env=variables(A="b" * 131_000))
    ),
    "containers": lambda: deployment(
        *[container("vllm", "serve", f"a/b{n}") for n in range(30_000)]
    ),
    "pods of a kind nobody knows": lambda: {
        "apiVersion": "a/v1",
        "kind": "T",
        "spec": [{"image": "x", "args": ["serve"], "storageUri": "hf://a/b"}] * 50_000,
    },
    "roles of a large template": lambda: _group(10_000),
    "model volumes": lambda: deployment(
        container("nginx"),
        volumes=[{"name": f"v{n}", "image": {"reference": f"r/model{n}"}} for n in range(50_000)],
    ),
}


@pytest.mark.parametrize("make", WORST.values(), ids=WORST.keys())
def test_three_megabytes_take_less_than_a_second_of(make: Any) -> None:
    document = make()
    uses = detect(document)
    assert _seconds(document) < 2  # a second, and as much again for a busy machine
    assert any(not use.reference.known for use in uses) or len(uses) == 1


def test_what_is_over_a_limit_is_a_use_with_unknown_weights() -> None:
    many = deployment(*[container("vllm", "serve", "a/b") for _ in range(600)])
    assert any("more than 500" in use.reference.canonical for use in detect(many))
    listed = [{"image": "x", "args": ["a"]}] * 6_000
    pods = {"apiVersion": "a/v1", "kind": "T", "spec": listed}
    assert any("more than 5000" in use.reference.canonical for use in detect(pods))
