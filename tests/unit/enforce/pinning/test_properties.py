"""What must hold of rewriting for any object, and for every manifest that we have."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from tests.golden.suite import FOLDERS
from tests.unit.detect.manifests import deployment
from tests.unit.detect.test_properties import CONTAINERS, JSON, KINDS
from tests.unit.enforce.pinning.made import rewritten, targets
from weighmaster.core.detect import detect
from weighmaster.core.enforce.pinning import lines
from weighmaster.core.enforce.pinning.places import at
from weighmaster.core.enforce.pinning.rewriting import rewrite
from weighmaster.core.patch import difference
from weighmaster.manifests import read_files

CORPUS = Path(__file__).parents[5] / "shared" / "corpus" / "manifests"
LOOSE = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(document: Any) -> tuple[int, int]:
    """What holds for every object; how many references were written, and how many could be."""
    before = detect(document)
    made, wanted = rewritten(document)
    after = detect(made.document)
    assert after == made.uses
    if not made.paths:
        assert made.document == document
        return 0, len(wanted)
    pinned = {before[index].reference.canonical: wanted[index].canonical for index in made.paths}
    for index, path in made.paths.items():
        there = [use for use in after if use.reference.canonical == wanted[index].canonical]
        assert there, f"{before[index]} is nowhere"
        assert not path or path in {use.path for use in there}
    others = Counter(
        (use.reference.canonical, use.role, use.process)
        for index, use in enumerate(before)
        if use.reference.canonical not in pinned
    )
    assert not others - Counter((u.reference.canonical, u.role, u.process) for u in after)
    again, left = rewritten(made.document)
    assert again.document == made.document
    assert len(left) == len(wanted) - len(made.paths)
    for operation in difference(document, made.document):
        assert operation["op"] in ("add", "replace")
    return len(made.paths), len(wanted)


@given(KINDS, JSON)
@LOOSE
def test_any_object_of_a_known_kind_is_rewritten_without_an_error(
    kind: tuple[str, str], spec: Any
) -> None:
    check({"apiVersion": kind[0], "kind": kind[1], "metadata": {}, "spec": spec})


@given(CONTAINERS, CONTAINERS)
@LOOSE
def test_any_pod_is_rewritten_exactly_or_not_at_all(one: Any, other: Any) -> None:
    check(deployment(one, initContainers=[other], volumes=[{"name": "v", "emptyDir": {}}]))


def own_documents() -> Iterator[Any]:
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.yaml")):
            for suite in yaml.safe_load_all(path.read_text()):
                for case in suite.get("cases", ()) if isinstance(suite, dict) else ():
                    yield case.get("object")


def test_every_object_of_the_golden_cases_is_rewritten_exactly_or_not_at_all() -> None:
    counts = [check(document) for document in own_documents()]
    assert sum(written for written, _ in counts) > 400


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")
def test_every_manifest_of_the_corpus_is_rewritten_exactly_or_not_at_all() -> None:
    files = [str(file) for file in sorted(CORPUS.glob("*.yaml"))]
    counts = [check(each.value) for each in read_files(files) if each.error is None]
    written, wanted = (sum(each) for each in zip(*counts, strict=True))
    assert wanted > 130
    assert written / wanted > 0.7


def test_a_use_that_is_read_back_otherwise_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in a form: detection has the last word."""
    document = deployment(
        {"name": "a", "image": "vllm/vllm-openai:v1", "args": ["--model", "a/b"]},
        {"name": "c", "image": "vllm/vllm-openai:v1", "args": ["--model", "c/d"]},
    )
    honest = lines.Asked.words

    def broken(self: lines.Asked, options: Any) -> tuple[str, ...]:
        words = honest(self, options)
        return (*words, "--trust-remote-code") if self.repository == "a/b" else words

    monkeypatch.setattr(lines.Asked, "words", broken)
    made = rewrite(document, detect(document), targets(document))
    assert list(made.paths) == [1]
    one, other = at(made.document, ("spec", "template", "spec", "containers"))
    assert one["args"] == ["--model", "a/b"]
    assert other["args"][2].startswith("--revision=")
