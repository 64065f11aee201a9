"""From the bytes of a request to the bytes of its answer. Whatever happens, that is an answer."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol

import structlog
from msgspec import Struct

from weighmaster.admission.gate import PATIENCE, Gate
from weighmaster.admission.wire import decode, encode, find_uid
from weighmaster.core.evaluate.records import Record, record_key
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.reasons import Reason
from weighmaster.core.respond import Response, refuse
from weighmaster.core.values import Action
from weighmaster.errors import ReviewError
from weighmaster.pipeline import Review, Stage, review
from weighmaster.telemetry import AdmissionMetrics, where_failed

STAGES = {"/mutate": Stage.MUTATE, "/validate": Stage.VALIDATE}
"""The paths that are answered by policy; any other is refused."""

_REASONS = {400: Reason.MALFORMED_REQUEST, 413: Reason.REQUEST_TOO_LARGE}

OVERLOAD_TOLD_EVERY = 1.0
"""Seconds between log lines about requests that were turned away."""

MAX_KINDS = 512
"""Kinds that metrics tell apart; further ones are counted together."""

_log = structlog.get_logger()


class Store(Protocol):
    """Where policies come from."""

    def snapshot(self) -> Snapshot | None:
        """The policies at this moment; None while they are not completely known."""


class Answer(Struct, frozen=True):
    """An HTTP answer. The API server reads a refusal from a 200; anything else is an error."""

    status: int
    body: bytes


class Evidence(Protocol):
    """Who gathers evidence that is missing."""

    def ask(self, references: tuple[str, ...]) -> None:
        """Ask for evidence; never blocks."""

    async def settled(self, references: tuple[str, ...]) -> bool:
        """Wait a little for evidence; whether it is there now."""

    def used(self, records: Iterable[Record], day: str) -> None:
        """Note that evidence was used on a day; never blocks."""


class _Judged(Struct, frozen=True):
    uid: str
    stage: str
    answer: Review
    dry_run: bool = False
    records: tuple[Record, ...] = ()


class AdmissionHandler:
    """Answers admission requests by the policies of a store."""

    def __init__(
        self,
        store: Store,
        metrics: AdmissionMetrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        evidence: Evidence | None = None,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._evidence = evidence
        self._kinds: set[str] = set()
        self._gate = Gate()
        self._shed = 0
        self._shed_told = float("-inf")

    async def answer(self, path: str, body: bytes, patience: float = PATIENCE) -> Answer:
        """The answer to a request; evidence that is missing is asked for, and waited for a little.

        Never raises: a failure of ours is a refusal. So is a queue in which the request would wait
        for longer than ``patience`` (seconds).
        """
        started = time.perf_counter()
        judged = await self._in_turn(path, body, patience)
        if self._evidence is not None and not judged.dry_run:
            try:
                judged = await self._with_evidence(self._evidence, judged, path, body)
            except Exception as error:  # noqa: BLE001 - whatever failed, the answer is a refusal
                judged = self._failed(judged.uid, judged.stage, error)
        return self._finish(judged, started)

    async def _with_evidence(
        self, evidence: Evidence, judged: _Judged, path: str, body: bytes
    ) -> _Judged:
        """The judgement once evidence that was missing has been asked for and waited for."""
        if judged.answer.pending:
            evidence.ask(judged.answer.pending)
            awaited = judged.answer.awaited
            if awaited and await evidence.settled(awaited):
                judged = await self._in_turn(path, body, None)
                if judged.answer.pending:
                    # A pinned reference is another one, which nobody has asked for yet.
                    evidence.ask(judged.answer.pending)
        if judged.records:
            evidence.used(judged.records, self._clock().date().isoformat())
        return judged

    async def _in_turn(self, path: str, body: bytes, patience: float | None) -> _Judged:
        """The judgement, when it is the request's turn; a refusal where that would be too late."""
        if not await self._gate.enter(patience):
            refusal = refuse(
                Reason.OVERLOADED, "there are more requests than can be answered in time", 429
            )
            return _Judged(find_uid(body), STAGES.get(path, "unknown"), Review(refusal))
        try:
            return self._judge(path, body)
        finally:
            self._gate.leave()

    def handle(self, path: str, body: bytes) -> Answer:
        """The answer to a request by what is known now. Never raises."""
        started = time.perf_counter()
        return self._finish(self._judge(path, body), started)

    def _judge(self, path: str, body: bytes) -> _Judged:
        stage = STAGES.get(path)
        if stage is None:
            refusal = refuse(
                Reason.UNSUPPORTED_REQUEST, f"there is nothing at this path; use {_paths()}", 404
            )
            return _Judged(find_uid(body), "unknown", Review(refusal))
        uid = ""
        try:
            incoming = decode(body, stage, gathering=self._evidence is not None)
            uid = incoming.uid
            snapshot = self._store.snapshot()
            if snapshot is None:
                refusal = refuse(
                    Reason.NOT_READY, "the policies are not completely known yet; try again", 503
                )
                return _Judged(uid, stage, Review(refusal))
            answer = review(incoming.request, snapshot, self._clock())
            return _Judged(uid, stage, answer, incoming.dry_run, _records(answer, snapshot))
        except ReviewError as error:
            refusal = refuse(_REASONS[error.code], error.message, error.code)
            return _Judged(error.uid, stage, Review(refusal))
        except Exception as error:  # noqa: BLE001 - whatever failed, the answer is a refusal
            return self._failed(uid or find_uid(body), stage, error)

    def _failed(self, uid: str, stage: str, error: Exception) -> _Judged:
        _log.error("admission request failed", uid=uid, stage=stage, **where_failed(error))
        refusal = refuse(
            Reason.INTERNAL_ERROR,
            f"an internal error; the log has its cause under request {uid}",
            500,
        )
        return _Judged(uid, stage, Review(refusal))

    def _finish(self, judged: _Judged, started: float) -> Answer:
        answer = judged.answer
        if answer.decision is None and not answer.response.allowed:
            result = self._refuse(judged.uid, judged.stage, answer.response)
        else:
            self._record(judged.uid, judged.stage, answer, dry_run=judged.dry_run)
            result = Answer(200, encode(judged.uid, answer.response))
        self._metrics.took(judged.stage, time.perf_counter() - started)
        return result

    def _refuse(self, uid: str, stage: str, response: Response) -> Answer:
        """A refusal as a 200, which counts whatever the ``failurePolicy``, if its uid is known."""
        reasons, code = response.reasons, response.code
        self._metrics.answered(stage, "", Action.DENY.label, reasons)
        if Reason.OVERLOADED in reasons:
            self._tell_of_overload()
        else:
            _log.warning("refused", uid=uid, stage=stage, reasons=reasons, code=code)
        return Answer(200 if uid else code, encode(uid, response))

    def _tell_of_overload(self) -> None:
        """Log that requests were turned away, now and then: each line is work, too."""
        self._shed += 1
        now = time.monotonic()
        if now - self._shed_told > OVERLOAD_TOLD_EVERY:
            _log.warning("overloaded", refused=self._shed)
            self._shed, self._shed_told = 0, now

    def _record(self, uid: str, stage: str, answer: Review, *, dry_run: bool) -> None:
        decision, response = answer.decision, answer.response
        action = decision.action if decision else Action.ALLOW
        kind = decision.workload.kind if decision else ""
        refused_for = () if response.allowed else response.reasons
        self._metrics.answered(stage, self._kind_label(kind), action.label, refused_for)
        if decision is None or action is Action.ALLOW or stage == Stage.MUTATE:
            return
        _log.info(
            "decision",
            uid=uid,
            decision=decision.id,
            action=action.label,
            allowed=response.allowed,
            kind=decision.workload.gvk,
            namespace=decision.workload.namespace,
            name=decision.workload.name,
            models=[use.reference.canonical for use in decision.uses[:8]],
            reasons=response.reasons,
            policies=sorted({str(finding.policy) for finding in decision.against}),
            dry_run=dry_run,
        )

    def _kind_label(self, kind: str) -> str:
        """The kind, if metrics may tell it apart: whoever reaches the port can make kinds up."""
        if kind not in self._kinds:
            if len(self._kinds) >= MAX_KINDS or len(kind) > 63:
                return "other"
            self._kinds.add(kind)
        return kind


def _records(answer: Review, snapshot: Snapshot) -> tuple[Record, ...]:
    """The evidence that there was to decide by."""
    if answer.decision is None or not snapshot.records:
        return ()
    namespace = answer.decision.workload.namespace
    keys = (record_key(use.reference, namespace) for use in answer.decision.uses)
    found = (snapshot.records.get(key) for key in keys)
    return tuple(record for record in found if record is not None)


def _paths() -> str:
    return " or ".join(STAGES)
