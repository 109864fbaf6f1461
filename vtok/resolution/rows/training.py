"""The crops of training sets: one in the middle, ten, or random ones."""

from vtok.records import Grid
from vtok.resolution.options import SchemeOptions, known, require
from vtok.resolution.policies.cutters import Cutter
from vtok.resolution.policies.layouts import Layout, Plain
from vtok.resolution.policies.training import CenterCrop, RandomCrops, TenCrops
from vtok.resolution.rows.row import Row


def _tokens(options: SchemeOptions) -> Grid:
    side, patch = known(options.size_px), known(options.patch_px)
    require(
        side % patch == 0, f"patch_px {patch} does not divide size_px {side}: choose a multiple"
    )
    return Grid(rows=side // patch, cols=side // patch)


def _center_crop(options: SchemeOptions) -> tuple[Cutter, Layout]:
    return CenterCrop(known(options.size_px), _tokens(options), known(options.flip)), Plain()


def _ten_crop(options: SchemeOptions) -> tuple[Cutter, Layout]:
    cutter = TenCrops(known(options.size_px), _tokens(options), known(options.crop_range))
    return cutter, Plain()


def _random_crops(options: SchemeOptions) -> tuple[Cutter, Layout]:
    cutter = RandomCrops(
        side_px=known(options.size_px),
        token_grid=_tokens(options),
        num_crops=known(options.crops),
        seed=known(options.seed),
        min_scale=known(options.min_crop_scale),
        flip=known(options.flip),
    )
    return cutter, Plain()


ROWS = (
    Row(
        name="adm-crop",
        summary="short side to --size, the square in the middle; --flip adds its mirror image",
        source="openai/guided-diffusion center_crop_arr; LlamaGen extract_codes_c2i.py",
        defaults=SchemeOptions(size_px=256, patch_px=16, flip=False),
        build=_center_crop,
        aliases=("adm",),
    ),
    Row(
        name="ten-crop",
        summary="corners and centre of a crop 1.1 times as large, and the same mirrored",
        source="LlamaGen extract_codes_c2i.py --ten-crop; 1d-tokenizer pretokenization.py",
        defaults=SchemeOptions(size_px=256, patch_px=16, crop_range=1.1),
        build=_ten_crop,
    ),
    Row(
        name="random-crops",
        summary="the centre square, then random parts; drawn from --seed and the sample's key",
        source="apple/ml-4m save_vq_tokens.py; torchvision RandomResizedCrop",
        defaults=SchemeOptions(
            size_px=256, patch_px=16, crops=10, seed=0, min_crop_scale=0.8, flip=False
        ),
        build=_random_crops,
    ),
)
