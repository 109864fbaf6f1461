"""What plan and shards keep of a model: whatever changes its indices, and nothing that did not."""

from dataclasses import replace

from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.models.vtok_base_networks import VtokBaseConfig
from vtok.pipelines.running.model import record_of

SMALL = VtokBaseConfig(width=8, hidden=8, codebook_size=16, code_dim=4)


def test_how_codes_are_chosen_is_kept() -> None:
    specs = [
        record_of(VtokBaseTokenizer(replace(SMALL, diffusion_sweeps=sweeps))).spec
        for sweeps in (0, 1, 2)
    ]
    assert [spec.get("diffusion_sweeps") for spec in specs] == [None, 1, 2]
    assert "diffusion_sweeps" not in specs[0], "plans from before have no such field"
