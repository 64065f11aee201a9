"""Records as decisions read them."""

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.builders import NOW
from weighmaster.core import references
from weighmaster.core.evaluate.records import (
    new_record,
    read_record,
    read_reference,
    record_key,
    record_name,
)
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.values import ModelReference

COMMIT = "a" * 40
REFERENCE = f"hf://acme/m@{COMMIT}"
DIGEST = f"sha256:{'b' * 64}"
Json = dict[str, Any]


def stored(reference: str = REFERENCE, name: str = "m", **status: Any) -> Json:
    return {
        "metadata": {"name": name},
        "spec": {"reference": reference},
        "status": {"state": "Resolved", "resolved": reference, **status},
    }


def test_resolved_record_counts() -> None:
    record = read_record(stored())
    assert record.missing(NOW) is None
    assert not record.pending


@pytest.mark.parametrize("status", [{}, {"state": "Pending"}])
def test_record_without_evidence_is_pending(status: Json) -> None:
    record = read_record({**stored(), "status": status})
    assert record.pending
    assert record.missing(NOW) == "evidence is being gathered"


@pytest.mark.parametrize("state", ["Failed", "Unavailable"])
def test_record_that_could_not_be_resolved_says_why(state: str) -> None:
    failures = [{"reason": "NotFound", "message": "it does not exist"}]
    record = read_record(stored(state=state, failures=failures))
    assert not record.pending
    assert record.missing(NOW) == "it does not exist"
    assert read_record(stored(state=state)).missing(NOW) is not None


def test_evidence_ends_at_the_moment_it_expires() -> None:
    record = read_record(stored(expiresAt="2026-11-24T12:00:00Z"))
    assert record.missing(NOW) is not None
    assert record.missing(NOW - timedelta(microseconds=1)) is None


def test_resolved_record_that_does_not_say_to_what_is_no_evidence() -> None:
    assert read_record(stored(resolved=None)).missing(NOW) is not None


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"metadata": None, "spec": None, "status": None},
        {"metadata": {"name": 5}, "spec": []},
        {"metadata": {"name": "m"}, "spec": {"reference": ""}},
        {"metadata": {"name": "m"}, "spec": {"reference": REFERENCE, "trusted": True}},
        {**stored(), "status": {"state": "Trusted"}},
        {**stored(), "status": {"state": "Resolved", "resolved": REFERENCE, "x": 1}},
        {**stored(), "status": [1]},
    ],
)
def test_record_that_cannot_be_read_is_evidence_of_nothing(broken: Json) -> None:
    record = read_record(broken)
    assert record.missing(NOW) is not None
    assert REFERENCE not in Snapshot(records=[record]).records


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries({"metadata": junk, "spec": junk, "status": junk}))
def test_no_stored_object_is_too_strange(document: Json) -> None:
    assert read_record(document).missing(NOW) is not None


@pytest.mark.parametrize(
    "resolved",
    [f"hf://acme/m@{'b' * 40}", "hf://acme/m", "hf://acme/m@main", f"oci://x/m@{DIGEST}"],
)
def test_pinned_record_that_was_resolved_to_something_else_is_no_evidence(resolved: str) -> None:
    assert "other content" in (read_record(stored(resolved=resolved)).missing(NOW) or "")


@pytest.mark.parametrize(
    ("reference", "resolved", "renamed"),
    [
        (REFERENCE, f"hf://ACME/m@{COMMIT}", False),
        (REFERENCE, f"hf://evil/m@{COMMIT}", True),
        ("hf://acme/m", f"hf://evil/m@{COMMIT}", True),
        ("hf://acme/m", f"hf://acme/m@{COMMIT}", False),
        ("hf://acme/m@refs/pr/3", f"hf://acme/m@{COMMIT}", False),
        (f"oci://r.example/m:v1@{DIGEST}", f"oci://r.example/m@{DIGEST}", False),
        (f"oci://r.example:443/m@{DIGEST}", f"oci://r.example/m@{DIGEST}", False),
        ("oci://r.example/m:v1", f"oci://s.example/m@{DIGEST}", True),
        ("ngc://nvidia/nim/m:1.0", f"ngc://nvidia/nim/m:1.0@{DIGEST}", False),
        ("ollama://llama3:8b", f"ollama://registry.ollama.ai/library/llama3@{DIGEST}", False),
    ],
)
def test_content_that_is_served_under_another_name_is_noticed(
    reference: str, resolved: str, renamed: bool
) -> None:
    record = read_record(stored(reference, resolved=resolved))
    assert record.missing(NOW) is None
    assert (record.renamed is not None) is renamed


def test_the_record_that_counts_does_not_depend_on_the_order_of_records() -> None:
    label = {"app.kubernetes.io/managed-by": "weighmaster"}
    ours = {**stored(name="aa"), "metadata": {"name": "aa", "labels": label}}
    people = [stored(name="b"), stored(name="c")]
    pending = {**stored(name="a"), "status": {}}
    documents = [ours, *people, pending]
    for order in (documents, documents[::-1]):
        snapshot = Snapshot(records=[read_record(document) for document in order])
        assert snapshot.records[REFERENCE].name == "b"


# Names and keys.


@pytest.mark.parametrize(
    "reference",
    [
        references.hugging_face("acme/m"),
        references.hugging_face("acme/m", COMMIT),
        references.hugging_face("acme/m", "refs/pr/7"),
        references.hugging_face("acme/m", "feature/x", "sub/model.gguf"),
        references.modelscope("acme/m", "v1.0"),
        references.image("r.example:5000/m"),
        references.image(f"r.example:5000/m:v1@{DIGEST}"),
        references.parse("ngc://nvidia/nim/m:1.0"),
        references.parse("ollama://llama3:8b"),
        references.parse("s3://bucket/key#1"),
    ],
    ids=str,
)
def test_record_that_is_made_for_a_use_is_found_by_it(
    reference: ModelReference,
) -> None:
    key = record_key(reference)
    document = new_record(key)
    assert read_record(document).reference == key
    found = read_reference(document["spec"]["reference"])
    assert found.location == reference.location
    assert found.revision == reference.revision


@given(st.text(max_size=300))
def test_name_of_a_record_is_one_that_kubernetes_takes(reference: str) -> None:
    name = record_name(reference)
    assert len(name) <= 63
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)


@given(st.text(max_size=60), st.text(max_size=60))
def test_two_references_have_two_names(one: str, other: str) -> None:
    assert (record_name(one) == record_name(other)) is (one == other)


def test_references_that_look_alike_have_two_names() -> None:
    assert record_name("hf://acme/m-a") != record_name("hf://acme-m/a")
    assert record_name("hf://Acme/m") != record_name("hf://acme/m")


def test_all_files_of_a_model_have_one_record() -> None:
    files = [references.hugging_face("acme/m", COMMIT, file) for file in (None, "a.gguf", "b/c")]
    assert {record_key(reference) for reference in files} == {REFERENCE}
