"""A model of one size gets images of that size, resized only where somebody asked for it."""

import pytest

from vtok.errors import UsageError
from vtok.pipelines.config.cut import ModelNeeds, default_scheme, require_request, scheme_for
from vtok.pipelines.config.parts import CutConfig
from vtok.records import Grid, Size
from vtok.resolution import SchemeOptions

NEEDS = ModelNeeds(
    name="one-size", patch_px=16, alignment_px=16, fixed_size=Size(height=256, width=256)
)


def test_nothing_is_resized_unasked() -> None:
    with pytest.raises(UsageError, match=r"one-size takes 256x256 alone: --size 256 crops"):
        require_request(CutConfig(), NEEDS)


@pytest.mark.parametrize(
    ("cut", "scheme"),
    [
        (CutConfig(options=SchemeOptions(size_px=256)), "adm-crop"),
        (CutConfig(options=SchemeOptions(crops=3)), "random-crops"),
        (CutConfig(scheme="ten-crop"), "ten-crop"),
        (CutConfig(scheme="squash"), "squash"),
    ],
)
def test_what_was_asked_for_has_the_models_size(cut: CutConfig, scheme: str) -> None:
    require_request(cut, NEEDS)
    ready = scheme_for(cut, default_scheme(NEEDS), NEEDS)
    plan = ready.plan(Size(height=300, width=500))
    assert ready.name == scheme
    assert {view.size for view in plan.views} == {NEEDS.fixed_size}


def test_another_size_is_refused() -> None:
    cut = CutConfig(options=SchemeOptions(size_px=128))
    with pytest.raises(UsageError, match="one-size takes 256x256 alone: give another --size"):
        scheme_for(cut, default_scheme(NEEDS), NEEDS)


def test_a_tile_that_patches_do_not_divide_is_refused_but_of_a_model_or_as_asked() -> None:
    """SigLIP's 384 px are 27 patches of 14; 384 typed for the usual 14 is a mistake."""
    tile = SchemeOptions(tile_size_px=384)
    with pytest.raises(UsageError, match="--tile-size 384: patches of 14 px do not divide it"):
        scheme_for(CutConfig(scheme="closest", options=tile), "native")
    asked = CutConfig(scheme="closest", options=SchemeOptions(tile_size_px=384, patch_px=14))
    own = Size(height=384, width=384)
    needs = ModelNeeds(name="siglip", patch_px=14, alignment_px=14, fixed_size=own)
    of_model = scheme_for(CutConfig(scheme="closest", options=tile), "native", needs)
    for scheme in (scheme_for(asked, "native"), of_model):
        plan = scheme.plan(Size(height=400, width=700))
        assert {view.token_grid for view in plan.views} == {Grid(rows=27, cols=27)}
    with pytest.raises(UsageError, match="multiples of 14 px: give 378 or 392"):
        scheme_for(CutConfig(options=SchemeOptions(tile_size_px=385)), "squash", needs)
