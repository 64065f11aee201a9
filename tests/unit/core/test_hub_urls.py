"""URLs of hubs: the repository, revision and file behind them."""

import pytest

from weighmaster.core import references
from weighmaster.core.hub_urls import pulled_from, repository_of

COMMIT = "a" * 40
HUB = "https://huggingface.co"


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        (f"{HUB}/acme/m/resolve/main/m.gguf", "hf://acme/m@main#m.gguf"),
        (f"{HUB}/acme/m/resolve/{COMMIT}/a/m.gguf", f"hf://acme/m@{COMMIT}#a/m.gguf"),
        (f"{HUB}/acme/m/resolve/main/m.gguf?download=true", "hf://acme/m@main#m.gguf"),
        (f"{HUB}/acme/m/resolve/refs/pr/3/m.gguf", "hf://acme/m@refs/pr/3#m.gguf"),
        (f"{HUB}/acme/m/raw/v1/README.md", "hf://acme/m@v1#README.md"),
        (f"{HUB}/acme/m/tree/v1", "hf://acme/m@v1"),
        (f"{HUB}/acme/m", "hf://acme/m"),
        (f"{HUB}//acme//m/resolve//main/m.gguf", "hf://acme/m@main#m.gguf"),
        (f"{HUB}/gpt2/resolve/main/m.bin", "hf://gpt2@main#m.bin"),
        (f"{HUB}/gpt2", "hf://gpt2"),
        (f"{HUB}/api/models/acme/m/tree/main", "hf://acme/m@main"),
        (f"{HUB}/api/resolve-cache/models/acme/m/{COMMIT}/m.gguf", f"hf://acme/m@{COMMIT}#m.gguf"),
        ("http://huggingface.co:80/acme/m/resolve/main/x", "hf://acme/m@main#x"),
        ("https://HuggingFace.co.:443/acme/m/resolve/main/x", "hf://acme/m@main#x"),
        ("https://hf.co/acme/m/resolve/main/x", "hf://acme/m@main#x"),
        ("https://modelscope.cn/models/acme/m/resolve/master/x", "modelscope://acme/m@master#x"),
        (
            "https://www.modelscope.cn/api/v1/models/acme/m/repo?Revision=v1&FilePath=x",
            "modelscope://acme/m@v1#x",
        ),
        ("https://www.modelscope.cn/models/acme/m/files", "modelscope://acme/m"),
    ],
)
def test_url_of_a_hub_names_a_repository(url: str, repository: str) -> None:
    found = repository_of(references.parse(url))
    assert found is not None
    assert found.canonical == repository


@pytest.mark.parametrize(
    "url",
    [
        "https://huggingface.co",
        "https://huggingface.co.evil.example/acme/m/resolve/main/x",
        "https://evil.example/huggingface.co/acme/m/resolve/main/x",
        "https://huggingface.co:8443/acme/m/resolve/main/x",
        "https://modelscope.cn/datasets/acme/m",
        "s3://huggingface.co/acme/m",
        "hf://acme/m",
        "oci://huggingface.co/acme/m",
        "",
    ],
)
def test_what_is_no_hubs_is_nobodys_repository(url: str) -> None:
    assert repository_of(references.parse(url)) is None


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://Weights.example/%61pproved/%2d%7E", "https://weights.example/approved/-~"),
        ("https://weights.example./a", "https://weights.example/a"),
        ("https://weights.example.:8443/a", "https://weights.example:8443/a"),
        ("https://weights.example/a%20b%c3%a9", "https://weights.example/a%20b%C3%A9"),
    ],
)
def test_two_spellings_of_one_url_are_one_reference(url: str, canonical: str) -> None:
    assert references.parse(url).canonical == canonical


@pytest.mark.parametrize("path", ["%2e%2e/x", "a/%2E/x", "..%2fx", "a%5Cb"])
def test_url_that_leads_elsewhere_once_unescaped_is_not_guessed_at(path: str) -> None:
    assert not references.parse(f"https://weights.example/{path}").known


@pytest.mark.parametrize("name", ["deepseek%2Dai/m", "acme/m%41", "acme/m@%72efs/pr/3"])
def test_hub_names_hold_no_escapes(name: str) -> None:
    assert not references.parse(f"hf://{name}").known


def test_hub_file_may_hold_a_percent_sign() -> None:
    assert references.parse("hf://acme/m@main#100%.gguf").known


@pytest.mark.parametrize(
    ("reference", "repository"),
    [
        ("ollama://hf.co/acme/m:Q4_K_M", "hf://acme/m"),
        ("ollama://HuggingFace.co/acme/m", "hf://acme/m"),
        ("ollama://modelscope.cn/acme/m:Q4", "modelscope://acme/m"),
        ("ollama://acme/m:7b", None),
        ("ollama://registry.example/acme/m", None),
        ("hf://acme/m", None),
    ],
)
def test_what_ollama_pulls_from_a_hub_is_the_hubs(reference: str, repository: str | None) -> None:
    found = pulled_from(references.parse(reference))
    assert (found.canonical if found else None) == repository
