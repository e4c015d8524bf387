"""Packages of the distribution; everything else is in pyproject.toml, which cannot add to the packages it finds."""

from setuptools import find_packages, setup

# The presets are installed inside of pipelines: a package named "configs" would be in the way of others.
setup(
    packages=[*find_packages(include=["lotus_recon*", "pipelines*"]), "pipelines.configs"],
    package_dir={"pipelines.configs": "configs"},
)
