"""Many scenes at once: typed jobs, done by processes of this machine or by a Ray cluster, with the same result.

jobs = [SceneJob("door", "multi_view", MultiViewConfig(), images=("photos/door",))]
result = run_jobs(jobs, Path("out"), BatchConfig())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lotus_recon.runners.batch import BatchResult
    from lotus_recon.runners.config import BatchConfig
    from lotus_recon.runners.jobs import SceneJob
    from lotus_recon.runners.run import run_jobs

__all__ = ["BatchConfig", "BatchResult", "SceneJob", "run_jobs"]

_HOMES = {"BatchConfig": "config", "BatchResult": "batch", "SceneJob": "jobs", "run_jobs": "run"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
