"""The metadata of a sample: where it comes from, what was done to it, how it was cut.

In: an image's task and facts. Out: one JSON-ready mapping that `vtok.resolution.Plan.from_json`
reads as it is, so that a reader can undo the cutting; and the sidecars. Knows nothing of models.
"""

from collections.abc import Mapping
from typing import Any

from vtok.engine.preparation import ImageFacts, ImageTask
from vtok.errors import ShardError
from vtok.io.json_files import refuse_deep
from vtok.records import Grid
from vtok.shards.fields import decode_json

_JSON_SIDECAR = "json"
_UNREADABLE_JSON = "json-text"


def describe(
    task: ImageTask,
    facts: ImageFacts,
    *,
    token_grids: Mapping[str, Grid | None] | None = None,
    counts: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Return a sample's metadata.

    Args:
        task: Its key and source.
        facts: What the image turned out to be, its plan among it.
        token_grids: View → the grid of its indices or features, row-major; None for a view whose
            features form no grid.
        counts: View → how many indices or features it has; None where the plan knows it.
    """
    plan = facts.plan if counts is None else facts.plan.handing_on(counts, token_grids or {})
    meta: dict[str, Any] = {
        **plan.to_json(),
        "key": task.key,
        "source": task.item.source,
        "format": facts.format,
        "num_bytes": facts.num_bytes,
        "sha256": facts.sha256,
        "conversions": list(facts.conversions),
    }
    metadata = joined_metadata(task.item.metadata, facts.sidecars)
    if metadata:
        meta["metadata"] = metadata
    if token_grids is not None:
        meta["token_grids"] = {
            view: {"rows": grid.rows, "cols": grid.cols}
            for view, grid in token_grids.items()
            if grid is not None
        }
    return meta


def carried(facts: ImageFacts) -> dict[str, bytes]:
    """Return the sidecars that go into the shard as fields of their own (`txt`, `caption`).

    A `json` beside the image goes into the metadata; if it is not JSON, or nested too
    deep, here, as `json-text`.
    """
    return carried_fields(facts.sidecars)


def carried_fields(sidecars: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the same of what lies beside an image, by extension."""
    fields = {name: data for name, data in sidecars.items() if name != _JSON_SIDECAR}
    data = sidecars.get(_JSON_SIDECAR)
    if data is not None and not _json_sidecar(sidecars):
        fields[_UNREADABLE_JSON] = data
    return fields


def joined_metadata(listed: Mapping[str, Any], sidecars: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the JSON values that came with an image: from its list, then from beside it."""
    return {**listed, **_json_sidecar(sidecars)}


def _json_sidecar(sidecars: Mapping[str, bytes]) -> dict[str, Any]:
    data = sidecars.get(_JSON_SIDECAR)
    if data is None:
        return {}
    try:
        value = decode_json(data)
        refuse_deep(data, value)
    except (ShardError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
