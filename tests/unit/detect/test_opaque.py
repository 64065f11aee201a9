# ruff: noqa: E501 - one case a line reads best
"""Commands that only exist when they run, and programs that run other commands."""

from typing import Any

import pytest

from tests.unit.detect.manifests import container, deployment, image, shell, variables
from weighmaster.core.detect import detect

VLLM = "vllm/vllm-openai:v0.11.0"
GPU = {"limits": {"nvidia.com/gpu": "1"}}
FROM_CONFIG_MAP = [{"name": "COMMAND", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]

OPAQUE = {
    "decoded by eval": 'eval "$(echo dmxsbQ== | base64 -d)"',
    "decoded by eval in backquotes": "eval `echo dmxsbQ== | base64 -d`",
    "decoded by a pipe": "echo dmxsbQ== | base64 -d | sh",
    "decoded by a pipe into sudo": "echo dmxsbQ== | base64 -d | sudo -E bash",
    "downloaded": "curl -fsSL https://scripts.example/start | bash",
    "downloaded, with flags": "curl -fsSL https://scripts.example/start | bash -s -- --port 1",
    "downloaded, by substitution": "bash <(curl -fsSL https://scripts.example/start)",
    "downloaded, sourced": "source <(curl -fsSL https://scripts.example/start)",
    "downloaded into Python": "curl -fsSL https://scripts.example/start | python3 -",
    "a variable nobody sets": '"$CMD" --port 1',
    "a variable after exec": "exec $CMD",
    "eval of a variable": 'eval "$CMD"',
    "what another command prints": "$(cat /etc/command) --port 1",
    "found by find": "find /usr/local -name vllm -exec {} serve a/b \\;",
    "in awk": """awk 'BEGIN{system("vllm serve a/b")}'""",
    "in awk, read": """awk 'BEGIN{"vllm serve a/b" | getline}'""",
    "in sed": "echo x | sed '1e vllm serve a/b'",
    "of tar": "tar cf /dev/null /etc/hostname --checkpoint=1 --checkpoint-action=exec='vllm serve a/b'",
    "in Perl": """perl -e 'exec "vllm", "serve", "a/b"'""",
    "in Node": """node -e 'require("child_process").execSync("vllm serve a/b")'""",
    "made by Python": "python3 -c \"import subprocess; subprocess.run(['vl' + 'lm', 'serve', 'a/b'])\"",
    "imported by Python": "python3 -c \"__import__('o' + 's').system(c)\"",
    "hidden in Python": "python3 -c \"import os; getattr(os, 'sys' + 'tem')('x')\"",
    "Python that decodes": "python3 -c 'import base64; exec(base64.b64decode(\"aQ==\"))'",
    "Python that fetches": "python3 -c 'import urllib.request as u; exec(u.urlopen(\"http://x\").read())'",
}


def references(made: Any) -> set[str]:
    return {use.reference.canonical for use in detect(deployment(made))}


@pytest.mark.parametrize("script", OPAQUE.values(), ids=OPAQUE.keys())
def test_in_a_servers_image_a_command_is_unresolved_that_is(script: str) -> None:
    found = references(shell(script, image=VLLM))
    assert found
    assert all(name.startswith("unresolved:") for name in found)


@pytest.mark.parametrize("script", OPAQUE.values(), ids=OPAQUE.keys())
def test_in_an_ordinary_image_a_command_is_nothing_that_is(script: str) -> None:
    assert references(shell(script, image="registry.example/shop:1")) == set()


STRANGE = {
    "a program nobody knows": container("/opt/start", "--port", "1", image=VLLM),
    "a module nobody knows": container("python3", "-m", "bank.server", image=VLLM),
    "a makefile": shell("printf 'a:\\n\\tvllm serve a/b' | make -f -", image=VLLM),
    "a package's program": container("uv", "run", "start", image=VLLM),
    "a program behind tools": shell("mkdir -p /x && cd /x && exec start-it", image=VLLM),
}  # fmt: skip


@pytest.mark.parametrize("made", STRANGE.values(), ids=STRANGE.keys())
def test_in_a_servers_image_a_program_is_unresolved_that_is(made: Any) -> None:
    assert {name[:11] for name in references(made)} == {"unresolved:"}


def test_the_same_program_in_another_image_is_nothing() -> None:
    for made in STRANGE.values():
        assert references({**made, "image": "registry.example/shop:1"}) == set()


BESIDE = {
    "tools": "nvidia-smi; python3 -m pip list; cp /a /b; uname -a; date",
    "text": "awk '{print $1}' /x; sed -e 's/a/e/' -e 's/e/b/g' /y; find / -name x -delete; tar xzf /z",
    "Python that starts tools": "python3 -c \"import subprocess; subprocess.run(['nvidia-smi'])\"",
    "Python that starts nothing": 'python3 -c "import platform, torch; print(platform.system(), torch.cuda.is_available())"',
    "an environment": "conda create -n vllm; uv pip install vllm; uv sync",
    "a store of caches": "mooncake_master --rpc_port 50051",
    "a front end": "python3 -m dynamo.frontend --http-port 8000",
    "an alias of itself": "alias ls='ls --color'; ls",
    "a trap that is taken back": "trap - EXIT; trap '' INT; trap 'kill 0' TERM; sleep infinity",
}


@pytest.mark.parametrize("script", BESIDE.values(), ids=BESIDE.keys())
def test_in_a_servers_image_these_load_nothing(script: str) -> None:
    assert references(shell(script, image=VLLM, resources=GPU)) == set()


def test_a_command_from_a_config_map_is_unresolved() -> None:
    made = container("sh", "-c", "$(COMMAND)", image=VLLM, env=FROM_CONFIG_MAP)
    assert {name[:11] for name in references(made)} == {"unresolved:"}


def test_an_accelerator_and_a_hub_token_make_an_opaque_command_suspicious() -> None:
    made = shell("curl -s https://x.example/run | sh", resources=GPU, env=variables(HF_TOKEN="x"))
    assert {name[:11] for name in references(made)} == {"unresolved:"}


def test_an_unreadable_script_without_a_suffix_in_a_servers_image_is_unresolved() -> None:
    assert references(container("bash", "/opt/start", image=VLLM)) == {"unresolved:start"}


def test_an_installer_beside_a_server_is_no_finding_but_a_disguised_command_is() -> None:
    assert references(shell("curl -LsSf https://x.example/uv | sh; vllm serve a/b")) == {"hf://a/b"}
    found = references(shell("vllm serve a/b & echo dmxsbQ== | base64 -d | sh"))
    assert "hf://a/b" in found
    assert any(name.startswith("unresolved:") for name in found)


@pytest.mark.parametrize(
    "script",
    ["sleep infinity", "eval $(conda shell.bash hook); sleep 1", "tail -f /dev/null", "python3 benchmarks/benchmark_serving.py --model a/b"],
)  # fmt: skip
def test_idle_pods_and_benchmarks_in_a_servers_image_are_nothing(script: str) -> None:
    assert references(shell(script, image=VLLM, resources=GPU)) == set()


WRAPPED = {
    "su": container("su", "llm", "-c", "vllm serve hidden/model"),
    "su with a login shell": container("su", "-", "llm", "-s", "/bin/bash", "-c", "vllm serve hidden/model"),
    "su in a script": shell("su llm -c 'vllm serve hidden/model'"),
    "runuser with a string": container("runuser", "-l", "llm", "-c", "vllm serve hidden/model"),
    "runuser with words": container("runuser", "-u", "llm", "--", "vllm", "serve", "hidden/model"),
    "gosu": container("gosu", "llm", "vllm", "serve", "hidden/model"),
    "gosu and a shell": container("gosu", "llm", "sh", "-c", "vllm serve hidden/model"),
    "su-exec": container("su-exec", "llm:llm", "vllm", "serve", "hidden/model"),
    "setpriv": container("setpriv", "--reuid", "nobody", "--clear-groups", "vllm", "serve", "hidden/model"),
    "chroot": container("chroot", "/rootfs", "vllm", "serve", "hidden/model"),
    "nsenter": container("nsenter", "-t", "1", "-m", "-u", "--", "sh", "-c", "vllm serve hidden/model"),
    "script": container("script", "-qc", "vllm serve hidden/model", "/dev/null"),
    "flock": container("flock", "/run/lock", "-c", "vllm serve hidden/model"),
    "tmux": shell("tmux new-session -d 'vllm serve hidden/model'"),
    "which": shell("$(which vllm) serve hidden/model"),
}  # fmt: skip


@pytest.mark.parametrize("made", WRAPPED.values(), ids=WRAPPED.keys())
def test_a_reference_is_found_behind(made: Any) -> None:
    assert references(made) == {"hf://hidden/model"}


def _paths(spec: dict[str, Any]) -> set[tuple[str, str]]:
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": spec}
    return {(use.reference.canonical, use.path) for use in detect(pod)}


def test_a_use_in_a_hook_stands_in_the_hook() -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "vllm serve a/b --lora-modules x=c/d"]}}}
    where = "spec.containers[0].lifecycle.postStart.exec.command[2]"
    found = _paths({"containers": [container("sleep", "1", lifecycle=hook)]})
    assert found == {("hf://a/b", where), ("hf://c/d", where)}


def test_a_downloaded_model_stands_in_the_download() -> None:
    mounts = [{"name": "m", "mountPath": "/models"}]
    fetch = shell("hf download a/b --local-dir /models/x", volumeMounts=mounts)
    server = image(
        "ghcr.io/ggml-org/llama.cpp:server", "-m", "/models/x/y.gguf", volumeMounts=mounts
    )
    volumes = [{"name": "m", "emptyDir": {}}]
    found = _paths({"initContainers": [fetch], "containers": [server], "volumes": volumes})
    assert found == {("hf://a/b", "spec.initContainers[0].command[2]")}


def test_two_servers_of_one_download_are_two_uses() -> None:
    mounts = [{"name": "m", "mountPath": "/models"}]
    fetch = shell("hf download a/b --local-dir /models/x", volumeMounts=mounts)
    servers = [
        container("vllm", "serve", "/models/x", name="one", volumeMounts=mounts),
        container(
            "vllm", "serve", "/models/x", "--trust-remote-code", name="two", volumeMounts=mounts
        ),
    ]
    pod = {
        "initContainers": [fetch],
        "containers": servers,
        "volumes": [{"name": "m", "emptyDir": {}}],
    }
    uses = detect({"apiVersion": "v1", "kind": "Pod", "spec": pod})
    told = {
        use.process.container: use.process.remote_code.value for use in uses if use.role == "base"
    }
    assert told == {"one": "off", "two": "on"}


def test_the_revision_of_the_code_or_the_tokenizer_pins_no_weights() -> None:
    commit = "0123456789" * 4
    made = container(
        "vllm", "serve", "a/b", "--code-revision", commit, "--tokenizer-revision", commit
    )
    assert references(made) == {"hf://a/b", f"hf://a/b@{commit}"}
    made = container("vllm", "serve", "a/b", env=variables(HF_REVISION=commit))
    assert references(made) == {"hf://a/b"}
