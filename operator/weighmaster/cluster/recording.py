"""Creating the ModelRecord of a reference, whoever has taken the name that it should have."""

import structlog

from weighmaster.api import GROUP
from weighmaster.api.v1alpha1 import VERSION, ModelRecord
from weighmaster.cluster.client import ApiClient
from weighmaster.core.evaluate.records import in_namespace, new_record, read_record
from weighmaster.errors import ClusterError

COLLECTION = f"/apis/{GROUP}/{VERSION}/{ModelRecord.names.plural}"

MAX_NAMES = 8
"""Names that are tried for one reference."""

_log = structlog.get_logger()


async def create_record(
    client: ApiClient, reference: str, depth: int = 0, namespace: str = ""
) -> None:
    """Have a record of a reference; one that is there already is as good.

    ``namespace`` is the one that the reference is relative to, if it is.

    Its name follows from the reference, so that two replicas make one record. Where somebody has
    taken it for another reference, the next one is tried. Raises ClusterError, with status 409 when
    all are taken.
    """
    key = in_namespace(reference, namespace) if namespace else reference
    for number in range(MAX_NAMES):
        record = new_record(reference, depth, number, namespace)
        name = record["metadata"]["name"]
        try:
            await client.create(COLLECTION, record)
        except ClusterError as error:
            if error.status != 409:
                raise
            stored = await client.get(f"{COLLECTION}/{name}")
            if read_record(stored).reference == key:
                return
            _log.warning("name of a record is taken", record=name, reference=reference)
        else:
            _log.info("record created", record=name, reference=reference)
            return
    raise ClusterError(f"{MAX_NAMES} names for its record are taken by others", status=409)
