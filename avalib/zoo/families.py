"""Groups of models: those that `avalib zoo` runs by default, those that the README shows, the families of all."""

from avalib.zoo.entry import ZooEntry
from avalib.zoo.mmaction_v0 import MMACTION_V0

# the seven of MMAction2 v0.10.0, which `avalib zoo` runs by default
DEFAULT_MODELS = tuple(entry.alias for entry in MMACTION_V0)
# what the README shows: these, and of later families the cheapest and the best
README_MODELS = (
    *DEFAULT_MODELS,
    "slowonly_r50_8x8_ak",
    "slowonly_r50_16x4_ak_tricks",
    "slowfast_r50_8x8_tmax_focal_ava22",
    "slowfast_acrn_r50_8x8",
    "ptv_slowfast_r50_detection",
    "psf_slowfast_r101_32x2_v22",
    "videomae_vit_b_ak",
    "videomae_vit_l_ak",
    "umt_vit_b",
    "umt_vit_l",
)
FAMILIES = ("SlowOnly", "SlowOnly, AVA-Kinetics", "SlowFast", "PySlowFast", "ViT, VideoMAE", "ViT, UMT")


def get_family(entry: ZooEntry) -> str:
    """Get the family of a model: models of one kind of network and one origin.

    Parameters
    ----------
    entry : ZooEntry

    Returns
    -------
    str
        One of FAMILIES.
    """
    if entry.backbone == "ViT":
        return "ViT, UMT" if entry.code_base == "umt" else "ViT, VideoMAE"
    if entry.code_base in ("pyslowfast", "pytorchvideo"):
        return "PySlowFast"
    if entry.dataset == "ava_kinetics":
        return "SlowOnly, AVA-Kinetics"
    return entry.backbone
