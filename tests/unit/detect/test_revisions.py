"""Which revision is loaded: what a revision is about, and what is loaded beside it."""

from typing import Any

import pytest

from tests.unit.detect.manifests import CLAIM, EMPTY_DIR, container, deployment, image, mounted
from weighmaster.core.detect import detect

COMMIT = "0123456789" * 4
OTHER = "f" * 40
KSERVE = "kserve/huggingfaceserver:v0.17.0"


def loaded(*containers: Any, **spec: Any) -> dict[tuple[str, str], str]:
    """Canonical references and their roles, by reason."""
    uses = detect(deployment(*containers, **spec))
    return {(use.role.value, use.reason): use.reference.canonical for use in uses}


def canonical(*containers: Any, **spec: Any) -> set[tuple[str, str]]:
    return {(role, found) for (role, _), found in loaded(*containers, **spec).items()}


@pytest.mark.parametrize("option", ["--revision", "--tokenizer-revision"])
def test_a_revision_says_nothing_about_what_another_container_put_on_a_volume(option: str) -> None:
    fetch = container(
        "hf", "download", "a/b", "--local-dir", "/models/a/b", volumeMounts=mounted("/models")
    )
    serve = container(
        "vllm", "serve", "/models/a/b", option, COMMIT, volumeMounts=mounted("/models")
    )
    found = canonical(serve, initContainers=[fetch], volumes=EMPTY_DIR)
    assert found == {("base", "hf://a/b"), ("fetch", "hf://a/b")}


def test_a_revision_says_nothing_about_a_claim() -> None:
    serve = container(
        "vllm", "serve", "/models", "--revision", COMMIT, volumeMounts=mounted("/models")
    )
    assert canonical(serve, volumes=CLAIM) == {("base", "pvc://weights")}


def test_another_tokenizer_is_loaded_at_the_models_revision_unless_it_has_its_own() -> None:
    words = ("vllm", "serve", "a/b", "--tokenizer", "c/d", "--revision", COMMIT)
    assert ("tokenizer", f"hf://c/d@{COMMIT}") in canonical(container(*words))
    own = container(*words, "--tokenizer-revision", OTHER)
    assert ("tokenizer", f"hf://c/d@{OTHER}") in canonical(own)


def test_sglang_loads_another_tokenizer_at_the_models_revision() -> None:
    words = ("python3", "-m", "sglang.launch_server", "--model-path", "a/b")
    made = container(*words, "--tokenizer-path", "c/d", "--revision", "main")
    assert ("tokenizer", "hf://c/d@main") in canonical(made)


def test_a_tokenizer_out_of_the_models_repository_counts_where_its_revision_differs() -> None:
    words = ("vllm", "serve", "a/b", "--revision", COMMIT)
    assert canonical(container(*words)) == {("base", f"hf://a/b@{COMMIT}")}
    moving = container(*words, "--tokenizer-revision", "main")
    assert canonical(moving) == {("base", f"hf://a/b@{COMMIT}"), ("tokenizer", "hf://a/b@main")}


def test_kserves_server_loads_the_tokenizer_at_the_head_whatever_the_models_revision() -> None:
    pinned = ("--model_id=a/b", f"--model_revision={COMMIT}")
    found = canonical(image(KSERVE, *pinned))
    assert found == {("base", f"hf://a/b@{COMMIT}"), ("tokenizer", "hf://a/b")}
    both = image(KSERVE, *pinned, f"--tokenizer_revision={COMMIT}")
    assert canonical(both) == {("base", f"hf://a/b@{COMMIT}")}
    assert canonical(image(KSERVE, "--model_id=a/b")) == {("base", "hf://a/b")}


def test_code_that_may_run_counts_at_its_own_revision() -> None:
    words = ("vllm", "serve", "a/b", "--revision", COMMIT, "--code-revision", "main")
    assert canonical(container(*words)) == {("base", f"hf://a/b@{COMMIT}")}
    running = canonical(container(*words, "--trust-remote-code"))
    assert running == {("base", f"hf://a/b@{COMMIT}"), ("base", "hf://a/b@main")}


def test_a_revision_that_is_none_leaves_unnamed_weights() -> None:
    words = ("vllm", "serve", "a/b", "--revision", "..", "--code-revision", "main")
    assert canonical(container(*words, "--trust-remote-code")) == {
        ("base", "unresolved:path traversal in hf://a/b@..")
    }


def test_members_of_a_draft_configuration_may_be_options() -> None:
    words = ("vllm", "serve", "a/b", "--speculative-config.model", "c/d")
    made = container(*words, "--speculative-config.revision", COMMIT)
    assert ("draft", f"hf://c/d@{COMMIT}") in canonical(made)


def ray(config: str) -> dict[str, str]:
    document = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "llm"},
        "spec": {"serveConfigV2": config},
    }
    return {use.role.value: use.reference.canonical for use in detect(document)}


def test_ray_serves_a_model_at_the_revision_in_its_engine_arguments() -> None:
    config = f"""
applications:
- args:
    llm_configs:
    - model_loading_config: {{model_id: chat, model_source: a/b}}
      engine_kwargs:
        revision: {COMMIT}
        speculative_config: {{model: c/d, revision: {OTHER}}}
"""
    assert ray(config) == {"base": f"hf://a/b@{COMMIT}", "draft": f"hf://c/d@{OTHER}"}


def kubeai(**spec: Any) -> str:
    document = {"apiVersion": "kubeai.org/v1", "kind": "Model", "metadata": {"name": "m"}}
    uses = detect({**document, "spec": {"url": "hf://a/b", **spec}})
    return uses[0].reference.canonical


def test_kubeai_hands_a_revision_on_to_vllm_unless_it_fetches_the_model_itself() -> None:
    arguments = [f"--revision={COMMIT}"]
    assert kubeai(engine="VLLM", args=arguments) == f"hf://a/b@{COMMIT}"
    assert kubeai(engine="Infinity", args=arguments) == "hf://a/b"
    assert kubeai(engine="VLLM", args=arguments, cacheProfile="standard") == "hf://a/b"
