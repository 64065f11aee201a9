"""Kinds that name weights in fields of their own. One module per family."""

from collections.abc import Callable, Mapping

from weighmaster.core.detect.context import Context
from weighmaster.core.detect.kinds import (
    aibrix,
    kaito,
    kserve,
    kubeai,
    llmaz,
    nvidia,
    others,
    ray,
    rolebased,
    seldon,
)
from weighmaster.core.detect.kinds.plan import Plan
from weighmaster.core.detect.reading import Json
from weighmaster.core.detect.sink import Sink

Handler = Callable[[Mapping[str, Json], Context, Sink], Plan]
"""Adds the uses that the object's own fields name, and says how to read its pods."""

HANDLERS: dict[tuple[str, str], Handler] = {
    **kserve.HANDLERS,
    **ray.HANDLERS,
    **rolebased.HANDLERS,
    **nvidia.HANDLERS,
    **kaito.HANDLERS,
    **kubeai.HANDLERS,
    **llmaz.HANDLERS,
    **aibrix.HANDLERS,
    **seldon.HANDLERS,
    **others.HANDLERS,
}
"""By API group and kind."""
