"""The contract between admission and the staging container: what is taken, and what is refused."""

import json
from typing import Any

import pytest

from weighmaster.core.staged import (
    MAX_DOWNLOADS,
    MAX_DOWNLOADS_BYTES,
    Download,
    Downloads,
    Hub,
    decode_downloads,
    encode_downloads,
)

COMMIT = "a" * 40
MODEL = Download(
    reference=f"hf://acme/m@{COMMIT}",
    folder="aaaaaaaaaaaa/acme/m",
    digest=f"sha256:{'b' * 64}",
    fingerprints="AAAA",
)
PLAIN: dict[str, Any] = {
    "reference": MODEL.reference,
    "folder": MODEL.folder,
    "digest": MODEL.digest,
}


def text(*models: dict[str, Any], **more: Any) -> str:
    return json.dumps({"models": models, **more})


def test_downloads_come_back_as_they_were_told() -> None:
    hub = Hub(
        endpoints={"hf": "https://hub.internal"},
        internal_hosts=("hub.internal",),
        proxy="http://proxy:3128",
        no_proxy=("cdn.example",),
    )
    told = Downloads(models=(MODEL,), hub=hub)
    assert decode_downloads(encode_downloads(told)) == told


def test_the_same_downloads_are_the_same_text_in_whatever_order_endpoints_are_given() -> None:
    texts = {
        encode_downloads(Downloads(models=(MODEL,), hub=Hub(endpoints=endpoints)))
        for endpoints in (
            {"hf": "https://a", "oci": "https://b"},
            {"oci": "https://b", "hf": "https://a"},
        )
    }
    assert len(texts) == 1


def test_what_is_not_said_is_not_in_the_text() -> None:
    assert json.loads(encode_downloads(Downloads(models=(MODEL,)))) == {
        "models": [{**PLAIN, "fingerprints": "AAAA"}]
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reference", "hf://acme/m"),
        ("reference", "hf://acme/m@main"),
        ("reference", f"hf://acme/m@{COMMIT}#weights.gguf"),
        ("reference", f"hf://acme/m@{COMMIT}\n"),
        ("reference", f"s3://acme/m@{COMMIT}"),
        ("reference", f"hf://../m@{COMMIT}"),
        ("folder", ""),
        ("folder", "/m"),
        ("folder", ".."),
        ("folder", "a/../b"),
        ("folder", "a//b"),
        ("folder", ".hidden"),
        ("folder", "a/b/"),
        ("folder", "a\x00b"),
        ("digest", ""),
        ("digest", f"sha512:{'b' * 64}"),
    ],
)
def test_a_download_that_is_not_plain_is_refused(field: str, value: str) -> None:
    assert decode_downloads(text(PLAIN)).models
    with pytest.raises(ValueError, match=field):
        decode_downloads(text({**PLAIN, field: value}))


@pytest.mark.parametrize(
    "told",
    [
        "",
        "[]",
        "{}",
        text(),
        text(PLAIN, unknown=1),
        text({**PLAIN, "skip": ["*.bin"]}),
        text(PLAIN, hub={"insecure": True}),
        text(*({**PLAIN, "folder": f"f{n}"} for n in range(MAX_DOWNLOADS + 1))),
        text(PLAIN) + " " * MAX_DOWNLOADS_BYTES,
        '{"models":' + "[" * 60_000,
    ],
)
def test_what_is_not_understood_to_the_last_word_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_downloads(told)


@pytest.mark.parametrize("folder", ["a", "a/b", "a/b/c"])
def test_no_model_lies_in_the_folder_of_another(folder: str) -> None:
    with pytest.raises(ValueError, match="two models"):
        decode_downloads(text({**PLAIN, "folder": "a/b"}, {**PLAIN, "folder": folder}))
    assert decode_downloads(text({**PLAIN, "folder": "a/b"}, {**PLAIN, "folder": "a/b-c"})).models
