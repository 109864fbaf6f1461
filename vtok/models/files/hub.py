"""What a hub that cannot be reached comes to: one line of ours, in place of its client's many.

In: a hub id and what its client raised. Out: the error to raise. Fetches nothing.
"""

import logging

from vtok.errors import WeightsError

# The client tells of each retry on standard error; what they come to is said once, by `unfetched`.
logging.getLogger("huggingface_hub.utils._http").setLevel(logging.ERROR)


def unfetched(hub_id: str, error: Exception) -> WeightsError:
    """Return what is raised where a model's files cannot be had from the hub."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return WeightsError(
        f"{hub_id}: cannot be fetched from the hub ({reason}): check the name and the network"
    )
