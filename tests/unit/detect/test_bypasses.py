# ruff: noqa: E501 - one case a line reads best
"""Ways to hide a reference, and what detection makes of each."""

from typing import Any

import pytest

from tests.unit.detect.manifests import container, deployment, image, shell, variables
from weighmaster.core.detect import Context, detect
from weighmaster.core.values import Setting

HIDDEN = "hf://hidden/model"
VLLM = "vllm/vllm-openai:v0.11.0"

CASES = {
    "env and an assignment come first": container("/usr/bin/env", "A=1", "vllm", "serve", "hidden/model"),
    "env -S splits a string": container("env", "-S", "vllm serve hidden/model"),
    "a login shell": container("bash", "-lc", "exec nohup vllm serve hidden/model &"),
    "a shell with its script after --": container("bash", "-lc", "--", "vllm serve hidden/model"),
    "a busybox shell": container("busybox", "sh", "-c", "vllm serve hidden/model"),
    "the module after clustered flags": shell("cd /x && python3 -um vllm.entrypoints.openai.api_server --model=hidden/model"),
    "the script of the module by path": container("python3", "/app/vllm/entrypoints/openai/api_server.py", "--model", "hidden/model"),
    "an abbreviated option": container("vllm", "serve", "good/model", "--tokeniz", "hidden/model"),
    "an underscore option": container("vllm", "serve", "good/model", "--speculative_config", '{"model": "hidden/model"}'),
    "a repeated option, first place": image(VLLM, "--model", "hidden/model", "--model", "good/model"),
    "a repeated option, last place": image(VLLM, "--model", "good/model", "--model", "hidden/model"),
    "a positional name beside the option": container("vllm", "serve", "hidden/model", "--model", "good/model"),
    "a positional name after a switch": container("vllm", "serve", "--enforce-eager", "hidden/model"),
    "a word after an option nobody knows": container("vllm", "serve", "--model", "good/model", "--new-switch", "hidden/model"),
    "a dotted member of a JSON option": container("vllm", "serve", "good/model", "--speculative-config.model", "hidden/model"),
    "a shell variable": shell('M=hidden/model; vllm serve "$M"'),
    "an exported variable": shell("export M=hidden/model\nvllm serve ${M}"),
    "a variable's default": shell("vllm serve ${M:-hidden/model}"),
    "one branch of a condition": shell("if x; then M=hidden/model; else M=good/model; fi; vllm serve $M"),
    "an assignment behind &&": shell("M=good/model; test -f /x && M=hidden/model; vllm serve $M"),
    "a loop": shell("for m in good/model hidden/model; do vllm serve $m; done"),
    "a name in two halves": shell("A=hidden; B=/model; vllm serve $A$B"),
    "quotes inside words": shell("v''llm se\"rv\"e hidd'en/mod'el"),
    "line continuations": shell("vllm \\\n  serve \\\n  hidden/model"),
    "line continuations of Windows": shell("vllm \\\r\n  serve hidden/model"),
    "eval": shell('eval "vllm serve hidden/model"'),
    "a subshell": shell("(cd /; vllm serve hidden/model)"),
    "a command substitution": shell("X=$(vllm serve hidden/model)"),
    "backquotes": shell("X=`vllm serve hidden/model`"),
    "a function": shell("f() { vllm serve hidden/model; }\nf"),
    "the whole command in a variable": container("sh", "-c", "$CMD", env=variables(CMD="vllm serve hidden/model")),
    "the whole command by the kubelet": container("sh", "-c", "$(CMD)", env=variables(CMD="vllm serve hidden/model")),
    "variables in variables": image(VLLM, "--model=$(C)", env=variables(A="hidden", C="$(A)/model")),
    "arguments to sh -c": container("sh", "-c", 'exec vllm serve "$@"', "--", "hidden/model"),
    "a here document run by a shell": shell("bash <<EOF\nvllm serve hidden/model\nEOF"),
    "a here document saved and run": shell("cat > /tmp/a.sh <<'EOF'\nvllm serve hidden/model\nEOF\nbash /tmp/a.sh"),
    "a here document saved and executed": shell("cat > /tmp/a.sh <<'EOF'\n#!/bin/sh\nvllm serve hidden/model\nEOF\n/tmp/a.sh"),
    "a pipe into a shell": shell("echo 'vllm serve hidden/model' | sh"),
    "xargs": shell("echo hidden/model | xargs vllm serve"),
    "an array": shell('A=(--model hidden/model)\npython3 -m vllm.entrypoints.openai.api_server "${A[@]}"'),
    "options in one variable": shell("O='--model hidden/model'; python3 -m vllm.entrypoints.openai.api_server $O"),
    "the runtime's variable for more arguments": image(VLLM, "--port", "1", env=variables(VLLM_ADDITIONAL_ARGS="--model hidden/model")),
    "an entrypoint we do not know": container("/opt/entrypoint.sh", "vllm", "serve", "hidden/model"),
    "mpirun": container("mpirun", "-n", "2", "trtllm-serve", "hidden/model"),
    "timeout": container("timeout", "-k", "5", "1h", "vllm", "serve", "hidden/model"),
    "nice": container("nice", "-n", "10", "vllm", "serve", "hidden/model"),
    "sudo": container("sudo", "-u", "me", "-E", "vllm", "serve", "hidden/model"),
    "conda": container("conda", "run", "-n", "e", "vllm", "serve", "hidden/model"),
    "uv": container("uv", "run", "vllm", "serve", "hidden/model"),
    "Python code": container("python", "-c", "from vllm import LLM\nLLM(model='hidden/model')"),
    "Python code in a here document": shell("python3 - <<E\nfrom vllm import LLM\nm = 'hidden/model'\nLLM(m)\nE"),
    "a LoRA module": container("vllm", "serve", "good/model", "--lora-modules", "a=x/y", "b=hidden/model"),
    "a LoRA module as JSON": container("vllm", "serve", "good/model", "--lora-modules", '{"name": "a", "path": "hidden/model"}'),
    "a tag beside a digest": image(f"vllm/vllm-openai:proxy@sha256:{'a' * 64}", "--model", "hidden/model"),
    "find": shell("find / -maxdepth 1 -name etc -exec vllm serve hidden/model \\;"),
    "find and a shell": container("find", "/", "-exec", "sh", "-c", "vllm serve hidden/model", ";"),
    "a trap": shell("trap 'vllm serve hidden/model' EXIT"),
    "an alias": shell("alias v=vllm; v serve hidden/model"),
    "an alias of several words": shell("alias v='vllm serve'\nv hidden/model"),
    "an alias of an alias": shell("alias w=vllm\nalias v=w\nv serve hidden/model"),
    "a copy of the server": shell("cp $(which vllm) x; ./x serve hidden/model"),
    "a copy by path": shell("cp -f /usr/local/bin/vllm /tmp/x && /tmp/x serve hidden/model"),
    "a link": shell("ln -s /usr/local/bin/vllm /tmp/x; exec /tmp/x serve hidden/model"),
    "a copy of a shell": shell("cp /bin/sh x; ./x -c 'vllm serve hidden/model'"),
    "a file that is written and run": shell("echo 'vllm serve hidden/model' > f; chmod +x f; ./f"),
    "a file that is written and sourced": shell("echo 'vllm serve hidden/model' | tee f; . ./f"),
    "a file that is added to": shell("echo 'vllm serve hidden/model' > f; echo true >> f; sh ./f"),
    "an environment of the server's name": container("conda", "run", "-n", "vllm", "vllm", "serve", "hidden/model"),
    "a package of the server's name": container("uv", "run", "--with", "vllm", "vllm", "serve", "hidden/model"),
    "a package and Python": container("uv", "run", "--with", "vllm", "python", "-m", "vllm.entrypoints.openai.api_server", "--model", "hidden/model"),
    "Python that starts a program": container("python3", "-c", "import subprocess; subprocess.run(['vllm', 'serve', 'hidden/model'], check=True)"),
    "Python that starts one by another name": container("python3", "-c", "import subprocess as s; s.call(['vllm', 'serve', 'hidden/model'])"),
    "Python that starts a shell": container("python3", "-c", "import os; os.system('vllm serve hidden/model')"),
    "Python that becomes a program": container("python3", "-c", "import os; os.execvp('vllm', ['nginx', 'serve', 'hidden/model'])"),
    "Python that becomes a program, word by word": container("python3", "-c", "import os; os.execlp('vllm', 'vllm', 'serve', 'hidden/model')"),
    "Python that spawns": container("python3", "-c", "import os; os.spawnvp(os.P_WAIT, 'vllm', ['vllm', 'serve', 'hidden/model'])"),
    "Python that starts Python": shell("python3 - <<'E'\nimport subprocess\nsubprocess.Popen('python3 -m vllm.entrypoints.openai.api_server --model hidden/model', shell=True)\nE"),
    "a nested shell": container("sh", "-c", "bash -c 'sh -c \"vllm serve hidden/model\"'"),
}  # fmt: skip


def references(*containers: Any, context: Context | None = None, **spec: Any) -> set[str]:
    document = deployment(*containers, **spec)
    uses = detect(document, context) if context else detect(document)
    return {use.reference.canonical for use in uses}


@pytest.mark.parametrize("made", CASES.values(), ids=CASES.keys())
def test_a_reference_is_found_behind(made: dict[str, Any]) -> None:
    assert HIDDEN in references(made)


@pytest.mark.parametrize("made", list(CASES.values())[:12])
@pytest.mark.parametrize("place", ["initContainers", "ephemeralContainers"])
def test_a_reference_is_found_in(place: str, made: dict[str, Any]) -> None:
    spec: Any = {place: [made]}
    assert HIDDEN in references(container("nginx"), **spec)


@pytest.mark.parametrize("hook", ["postStart", "preStop"])
def test_a_reference_is_found_in_the_hook(hook: str) -> None:
    command = {"exec": {"command": ["sh", "-c", "ollama pull hidden:7b"]}}
    assert "ollama://hidden:7b" in references(container("sleep", "1", lifecycle={hook: command}))


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_a_reference_is_found_in_the(probe: str) -> None:
    command = {"exec": {"command": ["ollama", "pull", "hidden:7b"]}}
    assert "ollama://hidden:7b" in references(container("sleep", "1", **{probe: command}))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (shell('f() { vllm serve "$1"; }\nf hidden/model'), "unresolved:$1"),
        (shell("vllm serve $(cat /model)"), "unresolved:$(cat /model)"),
        (container("vllm", "serve", "hidden/model\u200b"), "unresolved:"),
        (container("vllm", "serve", "hidden/../model"), "unresolved:"),
        (container("vllm", "serve"), "unresolved:vllm without a model"),
        (container("vllm", "serve", "$(M)"), "unresolved:$(M)"),
        (container("vllm", "serve", "--config", "/c.yaml"), "unresolved:file /c.yaml"),
        (
            container(
                "python", "-c", "from huggingface_hub import snapshot_download as d\nd('a/b')"
            ),
            "unresolved:",
        ),
    ],
)
def test_what_cannot_be_resolved_is_a_use_all_the_same(made: Any, expected: str) -> None:
    assert any(name.startswith(expected) for name in references(made))


def test_a_name_from_a_config_map_says_which_one() -> None:
    env = [{"name": "M", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "m"}}}]
    made = image(VLLM, "--model=$(M)", env=env)
    assert references(made) == {"unresolved:configmap/s#m"}
    context = Context(config_maps={("ml", "s"): {"m": "hidden/model"}})
    assert references(made, context=context) == {HIDDEN}


def test_a_name_from_an_annotation_of_the_pod_is_resolved() -> None:
    field = {"fieldRef": {"fieldPath": "metadata.annotations['m']"}}
    made = container("vllm", "serve", "$(M)", env=[{"name": "M", "valueFrom": field}])
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"annotations": {"m": "hidden/model"}},
        "spec": {"containers": [made]},
    }
    assert [use.reference.canonical for use in detect(pod)] == [HIDDEN]


def test_a_script_in_a_config_map_is_read() -> None:
    made = container("/scripts/run.sh", volumeMounts=[{"name": "s", "mountPath": "/scripts"}])
    context = Context(config_maps={("ml", "run"): {"run.sh": "vllm serve hidden/model"}})
    volumes = [{"name": "s", "configMap": {"name": "run"}}]
    assert references(made, volumes=volumes, context=context) == {HIDDEN}


def test_a_configuration_file_in_a_config_map_is_read() -> None:
    made = container(
        "vllm", "serve", "--config", "/c/vllm.yaml", volumeMounts=[{"name": "s", "mountPath": "/c"}]
    )
    text = "model: hidden/model\ntrust-remote-code: true\n"
    context = Context(config_maps={("ml", "run"): {"vllm.yaml": text}})
    document = deployment(made, volumes=[{"name": "s", "configMap": {"name": "run"}}])
    (use,) = detect(document, context)
    assert use.reference.canonical == HIDDEN
    assert use.process.remote_code is Setting.ON


@pytest.mark.parametrize(
    "made",
    [
        container("vllm", "serve", "a/b", "--trust-remote-code"),
        container("vllm", "serve", "a/b", "--trust_remote_code"),
        container("vllm", "serve", "a/b", "--trust-remote"),
        container("vllm", "serve", "a/b", "--trust-remote-code=true"),
        container("vllm", "serve", "a/b", "--trust-remote-code", "True"),
        shell("O=--trust-remote-code; vllm serve a/b $O"),
        image(VLLM, "--model=a/b", env=variables(VLLM_ADDITIONAL_ARGS="-x --trust-remote-code")),
        image("ghcr.io/huggingface/text-generation-inference:3", env=variables(MODEL_ID="a/b", TRUST_REMOTE_CODE="true")),
        image("nvcr.io/nim/meta/llama:1", env=variables(NIM_TRUST_CUSTOM_CODE="1")),
        container("python", "-c", "LLM(model='a/b', trust_remote_code=True)"),
        shell("cat > /c.yml <<E\ntrust_remote_code: true\nE\ntrtllm-serve a/b --extra_llm_api_options /c.yml"),
    ],
)  # fmt: skip
def test_remote_code_is_seen(made: Any) -> None:
    uses = detect(deployment(made))
    assert uses
    assert any(use.process.remote_code is Setting.ON for use in uses)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (container("vllm", "serve", "a/b"), Setting.OFF),
        (container("vllm", "serve", "a/b", "--trust-remote-code=false"), Setting.OFF),
        (container("vllm", "serve", "a/b", "--trust-remote-code=$(X)"), Setting.UNKNOWN),
        (shell("# --trust-remote-code\nvllm serve a/b"), Setting.OFF),
    ],
)
def test_remote_code_that_is_off_or_unknown_is_told_apart(made: Any, expected: Setting) -> None:
    assert {use.process.remote_code for use in detect(deployment(made))} == {expected}


def test_loading_adapters_at_run_time_is_seen() -> None:
    env = variables(VLLM_ALLOW_RUNTIME_LORA_UPDATING="True")
    (use,) = detect(deployment(container("vllm", "serve", "a/b", env=env)))
    assert use.process.runtime_adapters is Setting.ON


@pytest.mark.parametrize(
    "name", ["HF_ENDPOINT", "AWS_ENDPOINT_URL", "HF_REVISION", "SSL_CERT_FILE", "CURL_CA_BUNDLE"]
)
def test_an_origin_override_is_seen(name: str) -> None:
    env = variables(**{name: "https://mirror.example"})
    (use,) = detect(deployment(container("vllm", "serve", "a/b", env=env)))
    assert use.process.origin_overrides == (name,)
    (use,) = detect(deployment(shell(f"{name}=x vllm serve a/b")))
    assert use.process.origin_overrides == (name,)


def test_plain_http_is_an_origin_override() -> None:
    (use,) = detect(deployment(container("llama-server", "-mu", "http://h/m.gguf")))
    assert use.process.origin_overrides == ("http",)


def test_a_switch_to_modelscope_changes_the_hub() -> None:
    assert references(shell("VLLM_USE_MODELSCOPE=true vllm serve a/b")) == {"modelscope://a/b"}


def test_a_signed_url_loses_its_signature_and_a_password_is_dropped() -> None:
    found = references(container("llama-server", "-mu", "https://u:p@h.example/m.gguf?sig=abc"))
    assert found == {"https://h.example/m.gguf"}


def test_annotations_add_and_never_remove() -> None:
    document = deployment(container("vllm", "serve", "a/b"))
    before = {use.reference.canonical for use in detect(document)}
    document["metadata"]["annotations"] = {"weighmaster.dev/model": "hf://c/d, s3://e/f"}
    after = {use.reference.canonical for use in detect(document)}
    assert after == before | {"hf://c/d", "s3://e/f"}


def test_a_downloader_beside_a_claim_does_not_hide_the_claim() -> None:
    server = container(
        "vllm", "serve", "/models/x", volumeMounts=[{"name": "m", "mountPath": "/models"}]
    )
    fetch = container(
        "hf", "download", "good/model", "--local-dir", "/models/x",
        volumeMounts=[{"name": "m", "mountPath": "/models"}],
    )  # fmt: skip
    volumes = [{"name": "m", "persistentVolumeClaim": {"claimName": "c"}}]
    found = references(server, initContainers=[fetch], volumes=volumes)
    assert found == {"hf://good/model", "pvc://c/x"}
