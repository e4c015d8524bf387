"""Adaptation of the estimator to the photos of one scene, from the depth that several photos agree on."""
