"""The recipes by kind, for runners of many scenes."""

from __future__ import annotations

from lotus_recon.errors import InputError
from lotus_recon.recipes.base import Recipe
from lotus_recon.recipes.multi_view import MultiView
from lotus_recon.recipes.single_view import SingleView

RECIPES: dict[str, Recipe] = {recipe.kind: recipe for recipe in (MultiView(), SingleView())}


def get_recipe(kind: object) -> Recipe:
    """The recipe of a kind of scenes. Raises InputError with those that there are."""
    if not isinstance(kind, str) or kind not in RECIPES:
        raise InputError(f"kind {kind!r} is unknown; allowed: {', '.join(RECIPES)}")
    return RECIPES[kind]
