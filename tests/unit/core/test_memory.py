"""What a snapshot remembers never outlives what it was found by."""

from datetime import timedelta
from typing import Any

from tests.unit.core.builders import KNOWN, NOW, policy, snapshot, use, workload
from weighmaster.core.evaluate import evaluate
from weighmaster.core.evaluate.memory import MAX_FINDINGS, MAX_REMEMBERED, Memory
from weighmaster.core.values import Outcome

Json = dict[str, Any]

PINNED = {"reference": {"require": ["Pinned"]}}
LICENSED = {"license": {"allow": ["MIT"]}}
COMMIT = "a" * 40


def exception(name: str, until: str) -> Json:
    return {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelException",
        "metadata": {"name": name},
        "spec": {
            "policies": [{"name": "p", "rules": ["rule-0"]}],
            "namespaces": ["chat"],
            "references": ["hf://acme/**"],
            "reason": "r",
            "approvedBy": "a",
            "expiresAt": until,
        },
    }


def test_same_question_is_answered_from_memory() -> None:
    known = snapshot(policy(KNOWN, name="p"))
    first = evaluate(workload(namespace="chat"), (use("hf://acme/m"),), known, NOW)
    assert evaluate(workload(namespace="chat"), (use("hf://acme/m"),), known, NOW) is first


def test_another_name_label_or_namespace_is_another_question() -> None:
    known = snapshot(policy(KNOWN, name="p"))
    uses = (use("hf://acme/m"),)
    first = evaluate(workload(), uses, known, NOW)
    for other in (
        workload(name="other"),
        workload(namespace="other"),
        workload(label_sets=({"a": "b"},)),
    ):
        assert evaluate(other, uses, known, NOW) is not first


def test_exception_that_ends_is_noticed_although_its_findings_were_remembered() -> None:
    until = NOW + timedelta(minutes=1)
    known = snapshot(policy(PINNED, name="p"), exception("e", until.isoformat()))
    asked = workload(namespace="chat"), (use("hf://acme/m"),), known
    assert evaluate(*asked, NOW)[0].outcome is Outcome.SKIP
    assert evaluate(*asked, until - timedelta(seconds=1))[0].outcome is Outcome.SKIP
    assert evaluate(*asked, until)[0].outcome is Outcome.FAIL
    assert evaluate(*asked, until + timedelta(days=1))[0].outcome is Outcome.FAIL


def test_evidence_that_expires_is_noticed_although_its_findings_were_remembered() -> None:
    reference = f"hf://acme/m@{COMMIT}"
    until = NOW + timedelta(minutes=1)
    record = {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelRecord",
        "metadata": {"name": "r"},
        "spec": {"reference": reference},
        "status": {
            "state": "Resolved",
            "resolved": reference,
            "license": "MIT",
            "expiresAt": until.isoformat(),
        },
    }
    known = snapshot(policy(LICENSED, name="p"), record)
    asked = workload(namespace="chat"), (use(reference),), known
    assert evaluate(*asked, NOW)[0].outcome is Outcome.PASS
    assert evaluate(*asked, until)[0].outcome is Outcome.ERROR


def test_memory_is_bounded_in_number_and_in_size() -> None:
    memory: Memory[int] = Memory([])
    for number in range(MAX_REMEMBERED * 3):
        memory.keep(number, [number], NOW)
        assert memory.recall(number, NOW) == [number]
    remembered = [n for n in range(MAX_REMEMBERED * 3) if memory.recall(n, NOW) is not None]
    assert len(remembered) <= MAX_REMEMBERED
    memory.keep("long", list(range(MAX_FINDINGS + 1)), NOW)
    assert memory.recall("long", NOW) is None
