"""Golden decisions: what the YAML files under ``tests/cases`` and ``policies`` mean.

A file is a suite. ``resources`` are the policies, publishers, exceptions and namespaces that every
case of the file has, written out or named by ``file:`` relative to the suite; a case may add its
own. A Namespace among them makes its labels known; a namespace that is not among them is unknown.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import jsonpatch
import msgspec
import yaml
from msgspec import Struct, field, structs

from weighmaster.cluster.sandboxes import SandboxStore
from weighmaster.cluster.store import PolicyStore
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.respond import validate
from weighmaster.pipeline import AdmissionRequest, Operation, Review, Stage, audit, review
from weighmaster.policy_files import add_document, add_to_cluster
from weighmaster.quarantine.pods import Pod, Pods
from weighmaster.quarantine.verdicts import judge

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "tests" / "cases", ROOT / "policies")

Document = dict[str, Any]


class Expectation(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a case expects.

    ``decision`` is the strictest action over all findings and ``allowed`` the answer. ``reasons``
    are the reason codes behind it, in any order, and must be all of them. ``message`` and
    ``warnings`` are texts that the message and the warnings contain. ``form`` is what the mutating
    stage makes of the object, apart from the decision id that it notes on it; ``becomes`` is that
    in part: members that are not given are not compared, lists are whole.
    """

    decision: str
    allowed: bool
    reasons: list[str] = field(default_factory=list)
    message: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    form: Document | None = None
    becomes: Document | None = None


class Case(Struct, forbid_unknown_fields=True, kw_only=True):
    """One request and what it must lead to.

    The object goes through the mutating and then the validating stage, as the API server sends it.
    One that is ``final`` only goes through the latter: it is what other webhooks have left. One
    that is ``running`` is a pod that runs already: ``allowed`` says that nothing is known against
    it for which it could be quarantined.
    """

    name: str
    object: Document | None
    expect: Expectation
    old_object: Document | None = field(default=None, name="oldObject")
    operation: Operation = Operation.CREATE
    subresource: str = ""
    final: bool = False
    running: bool = False
    gathering: bool = False
    user: str = ""
    groups: list[str] = field(default_factory=list)
    resource: str = ""
    target: str = ""
    namespace: str = "default"
    now: datetime = datetime.fromisoformat("2026-11-24T12:00:00Z")
    resources: list[Document] = field(default_factory=list)


class Suite(Struct, forbid_unknown_fields=True, kw_only=True):
    """The cases of one file."""

    description: str
    cases: list[Case]
    resources: list[Document] = field(default_factory=list)
    templates: Any = None


class Loaded(Struct, frozen=True):
    """A case with the documents of its suite around it."""

    id: str
    case: Case
    resources: tuple[Document, ...]

    def snapshot(self, *, reverse: bool = False) -> Snapshot:
        """The policies it is decided by, taken in the order of the files or against it."""
        latest = {identity(document): document for document in self.resources}
        documents = list(latest.values())
        store, sandboxes = PolicyStore(), SandboxStore()
        for document in reversed(documents) if reverse else documents:
            _ = add_document(store, document) or add_to_cluster(sandboxes, document)
        return store.snapshot().within(sandboxes.cluster())

    def request(
        self, stage: Stage = Stage.VALIDATE, document: Mapping[str, Any] | None = None
    ) -> AdmissionRequest:
        """The request it makes, about its own object or what has become of it."""
        case = self.case
        return AdmissionRequest(
            stage=stage,
            operation=case.operation,
            subresource=case.subresource,
            namespace=case.namespace,
            name=case.target,
            document=case.object if document is None else document,
            old_document=case.old_object,
            gathering=case.gathering,
            user=case.user,
            groups=tuple(case.groups),
            resource=case.resource,
        )

    def mutate(self, snapshot: Snapshot | None = None) -> Review:
        """The answer of the mutating stage; what runs is not changed."""
        if self.case.running:
            return self.review(snapshot)
        return review(self.request(Stage.MUTATE), snapshot or self.snapshot(), self.case.now)

    def review(self, snapshot: Snapshot | None = None) -> Review:
        """The answer of the pipeline: that of the first stage which refuses, or of the last."""
        snapshot = snapshot or self.snapshot()
        document = self.case.object
        if self.case.running:
            return _audited(self.case, snapshot)
        if not self.case.final:
            mutated = self.mutate(snapshot)
            if not mutated.response.allowed:
                return mutated
            document = apply(mutated, document)
        return review(self.request(document=document), snapshot, self.case.now)


def _audited(case: Case, snapshot: Snapshot) -> Review:
    """What the audit of running pods makes of one; its findings are told as they are to people."""
    pods = Pods(lambda: None, snapshot.facilities.installation.image)
    kept = pods.keep(case.object or {})
    assert isinstance(kept, Pod)
    served = kept.served
    decision = audit(served.workload, served.uses, snapshot, case.now, served.weighing)
    assert decision is not None
    told = validate(decision)
    failing = judge(served, snapshot, case.now).objected
    return Review(structs.replace(told, allowed=not failing), decision)


def apply(mutated: Review, document: Document | None) -> Document | None:
    """An object as its patch leaves it."""
    patch = mutated.response.patch
    if not patch:
        return document
    # What YAML gives twice by an alias is two things in JSON.
    apart = msgspec.json.decode(msgspec.json.encode(document))
    made: Document = jsonpatch.apply_patch(apart, patch)
    return made


@cache
def load_all() -> tuple[Loaded, ...]:
    """Every case of every suite."""
    return tuple(
        case
        for folder in FOLDERS
        for path in sorted(folder.rglob("*.yaml"))
        if folder.name == "cases" or path.name == "cases.yaml"
        for case in load(path)
    )


def load(path: Path) -> list[Loaded]:
    """The cases of one suite."""
    suite = msgspec.convert(yaml.safe_load(path.read_text()), Suite)
    common = _resolve(suite.resources, path.parent)
    return [
        Loaded(
            id=f"{path.relative_to(ROOT).with_suffix('')}: {case.name}",
            case=case,
            resources=(*common, *_resolve(case.resources, path.parent)),
        )
        for case in suite.cases
    ]


def identity(document: Document) -> tuple[str, ...]:
    """What makes two documents the same object; a case may replace one of its suite."""
    metadata = document.get("metadata") or {}
    return tuple(
        str(part)
        for part in (document.get("kind"), metadata.get("namespace"), metadata.get("name"))
    )


def _resolve(resources: list[Document], folder: Path) -> list[Document]:
    documents: list[Document] = []
    for resource in resources:
        if "file" in resource:
            text = (folder / resource["file"]).read_text()
            documents += [document for document in yaml.safe_load_all(text) if document]
        else:
            documents.append(resource)
    return documents
