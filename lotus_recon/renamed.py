"""Old names of options. They work for one release, with a warning that tells the new one."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

from lotus_recon.errors import InputError
from lotus_recon.options import ADVANCED, Option, leaf_options, leaves_of, nested

log = logging.getLogger(__name__)

# Old place in YAML -> new one; the last part is the name on the command line. Options that only moved into the block
# "advanced" of their group are not listed.
RENAMED = {
    "alignment.guard_tolerance": "alignment.advanced.positivity_tolerance",
    "alignment.min_inlier_share": "alignment.advanced.min_inlier_ratio",
    "consistency.hidden_widths": "consistency.advanced.occlusion_tolerance",
    "consistency.min_confirmations": "consistency.min_consistent_views",
    "consistency.min_confirmed_share": "consistency.min_consistent_ratio",
    "consistency.unseen_confidence": "consistency.advanced.single_view_confidence",
    "fusion.max_fused_depth": "fusion.max_depth_ratio",
    "fusion.max_triangles": "mesh.max_triangles",
    "fusion.min_fused_weight": "tsdf.advanced.min_fused_weight",
    "fusion.min_island_share": "mesh.min_island_ratio",
    "fusion.truncation_voxels": "tsdf.advanced.truncation_voxels",
    "fusion.voxel_footprints": "tsdf.voxel_footprints",
    "fusion.voxel_size": "tsdf.voxel_size",
    "integration.agreement_rounds": "integration.consensus_iterations",
    "integration.normals_reach": "integration.integration_scale",
    "output.far_over_near": "output.depth_range_ratio",
    "refinement.advanced.best_parallax_deg": "mvs.advanced.best_parallax_deg",
    "refinement.advanced.passes": "mvs.advanced.passes",
    "refinement.advanced.refine_size": "mvs.advanced.match_size",
    "refinement.advanced.sources": "mvs.advanced.sources",
    "refinement.refine": "mvs.mvs",
    "scene.gravity": "frame.gravity",
    "scene.scale_from": "frame.scale_from",
}
# Groups whose options are gone but for those above. A config.yaml of an earlier release has them all.
REMOVED = ("refinement",)
# Old words of an option -> new ones.
RENAMED_VALUES = {"holes": {"leave_out": "skip"}}


def old_keys(config_type: Any) -> dict[str, Option]:
    """The options of a config by their old places in YAML."""
    options = {option.key: option for option in leaf_options(config_type)}
    moved = {".".join(o.path[:-2] + o.path[-1:]): o for o in options.values() if ADVANCED in o.path[-2:-1]}
    renamed = {old: options[new] for old, new in RENAMED.items() if new in options}
    return {old: option for old, option in (moved | renamed).items() if old not in options}


def old_flags(config_type: Any) -> dict[str, Option]:
    """The options of a config by flags that they had once and no other option has now."""
    taken = {option.flag for option in leaf_options(config_type) if not option.is_advanced}
    flags = {f"--{key.split('.')[-1].replace('_', '-')}": option for key, option in old_keys(config_type).items()}
    return {flag: option for flag, option in flags.items() if flag not in taken}


def new_value(option: Option, value: Any) -> Any:
    """What a value is called now."""
    words = RENAMED_VALUES.get(option.name, {})
    if not isinstance(value, str) or value not in words:
        return value
    warn_of_old_name(f"{option.name}: {value}", words[value])
    return words[value]


@functools.cache
def warn_of_old_name(old: str, new: str) -> None:
    """Log the new name, once for each old one."""
    log.warning("%s is now %s; the old name works until the next release", old, new)


def with_new_names(config_type: Any, overlay: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A mapping of options with new names for old ones. Raises InputError where both stand in it."""
    old, values, renamed = old_keys(config_type), dict(leaves_of(overlay)), {}
    for path, value in values.items():
        key = ".".join(path)
        if path[0] in REMOVED and key not in old:
            log.warning("%s: %s went with the old search; it is ignored (now: mvs)", where, key)
            continue
        option = old.get(key)
        if option is not None and option.path in values:
            raise InputError(f"{where}: {key} is the old name of {option.key}, which stands there too")
        if option is not None:
            warn_of_old_name(f"{where}: {key}", option.key)
        renamed[path if option is None else option.path] = value
    return nested(renamed.items())
