"""Changes: which workloads one snapshot may judge otherwise than another."""

from collections.abc import Iterable, Sequence

from weighmaster.core.evaluate.records import record_key
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.evaluate.subject import Workload
from weighmaster.core.values import ModelUse


class Changes:
    """What differs between two snapshots. Objects that did not change are the same in both."""

    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self._before = before
        self._after = after
        self._everything = before.publishers_by_name != after.publishers_by_name
        self._excepted = _namespaces(before, after)
        old, new = before.records, after.records
        self._records = {key for key in old.keys() | new.keys() if old.get(key) is not new.get(key)}
        self._namespaces: dict[str, bool] = {}

    def touch(self, workload: Workload, uses: Iterable[ModelUse]) -> bool:
        """Whether a workload may be judged otherwise; when in doubt, true. Time is not asked."""
        if self._everything or workload.namespace in self._excepted:
            return True
        if self._touches_namespace(workload.namespace):
            return True
        return bool(self._records) and any(
            self._touches_evidence(record_key(use.reference, workload.namespace)) for use in uses
        )

    def _touches_namespace(self, namespace: str) -> bool:
        found = self._namespaces.get(namespace)
        if found is None:
            before = self._before.applicable(namespace)
            after = self._after.applicable(namespace)
            found = self._namespaces[namespace] = not _same(before, after)
        return found

    def _touches_evidence(self, key: str) -> bool:
        """Whether a record has changed, or may have one in its lineage that has."""
        if key in self._records:
            return True
        record = self._after.records.get(key)
        return record is not None and bool(record.status.base_models)


def _namespaces(before: Snapshot, after: Snapshot) -> set[str]:
    """Namespaces for which an exception has come, gone or changed."""
    old = {id(approval) for approval in before.exceptions}
    new = {id(approval) for approval in after.exceptions}
    changed = old ^ new
    return {
        name
        for approval in (*before.exceptions, *after.exceptions)
        if id(approval) in changed
        for name in approval.namespaces
    }


def _same(before: Sequence[tuple[object, bool]], after: Sequence[tuple[object, bool]]) -> bool:
    return len(before) == len(after) and all(
        old is new and old_excluded is new_excluded
        for (old, old_excluded), (new, new_excluded) in zip(before, after, strict=True)
    )
