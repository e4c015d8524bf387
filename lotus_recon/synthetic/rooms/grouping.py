"""Which group a piece of Sweet Home 3D's furniture belongs to: by its category, its English name and its size."""

from __future__ import annotations

import re

# The first pattern found in "category/name" (lower case) decides: what is special stands above what is general.
_RULES: tuple[tuple[str, str], ...] = (
    ("other", r"^(characters|staircases|vehicles)/|light source|elevator|garage|railing|hospital|mannequin|hatch"),
    ("other", r"container|chimney|cylinder|triangle|\bhut\b|water heater|furnace|mower|wheel|pallet|hammock|barrel"),
    ("other", r"screen door|shutter|lamppost|park light|street|hanging clothes|\bbill\b|fence|emergency|camping"),
    ("other", r"surveillance|cctv|intercom|extinguisher|\bcone\b|round window|round door|arched|workbench|ladder"),
    (
        "other",
        r"^exterior/(motorbike|bush)|corner cabinet|range hood|double oven|island extension|knife stand|lip stick",
    ),
    ("other", r"clothes horse|coathanger|clothes hanger|number lock|smoke|aquarium|guitar|ceiling fan"),
    ("other", r"deck chair|beach chair|relax chair|umbrella$|cooktop|^kitchen/stove|induction|propane|broom|shovel"),
    ("other", r"shower door|shower curtain|/basin|sliding doors|door frame|open door|air mattress|sleeping bag|potty"),
    ("other", r"bedroom/(suit|short|trousers|jacket|skirt|socket|dress|ring|glove)$|kitchen/towel|kitchen tools"),
    ("other", r"(park|residential) trashcan|christmas tree"),
    ("other", r"bar table|ryokan|class seat|urinal|cylinder|rowboat|remote light"),
    ("curtain", r"curtain|blind"),
    ("window", r"/.*window"),
    ("door", r"^doors and windows/.*door"),
    ("radiator", r"radiator"),
    ("clutter", r"remote control|\bfan$|flashlight|candle|frame (chambord|hôi an)|table tennis bat"),
    ("picture", r"/frame$"),
    ("wall_thing", r"socket|switch|plug|dimmer|cuckoo|wall hanger|dart|air conditioning - internal"),
    ("light", r"^lights/"),
    ("plant", r"plant|cactus|orchid|tulip|lily|bamboo|yucca|ficus|bonsai|spathi|flowers|^exterior/bush"),
    ("rug", r"\brug\b|carpet|doormat|bathmat|tatami"),
    ("tv_unit", r"television cabinet|tv stand|tv unit"),
    ("tv", r"\btv\b"),
    ("large_thing", r"piano$|fireplace|pool table|football table|table tennis|flipper|treadmill|bike$|fitness"),
    ("large_thing", r"abdominal|punching|white board|/screen$|clothes rack"),
    ("bedside", r"bedside"),
    ("bed", r"\bbed\b|crib|opened convertible|futon$"),
    ("sofa", r"sofa|couch"),
    ("stool", r"stool|bar chair|piano bench"),
    ("bench", r"living room/bench"),
    ("floor_thing", r"high chair|toilet brush|clothes basket|rocking|doll house|children chair|/safe|shopping basket"),
    ("floor_thing", r"slippers|sneakers|shoes|mocassin|bootie|soccer ball|umbrella|racket|wood logs|water cooler"),
    ("floor_thing", r"briefcase|handbag|backpack|suitcase|trunc?k|crate|cardboard|dustbin|recycling|trash|basketball$"),
    ("chair", r"^office/(arm)?chair|folding chair|cafe chair|teck chair"),
    ("armchair", r"armchair|/puff"),
    ("desk", r"\bdesk\b|^office/.*table"),
    ("cabinet", r"dresser|dressing table|changing table|filing|cupboard|/chest$|high cabinet|living room/glass door"),
    ("cabinet", r"^(office|living room)/box|contemporary living room"),
    ("other", r"^exterior/(table|chair|.*bench)$"),
    ("table", r"\btable\b"),
    ("wardrobe", r"wardrobe"),
    ("shelf", r"bookcase|shelves(?! cabinet)|shelving"),
    ("chair", r"\bchair\b"),
    ("appliance", r"fridge|refrigerator|freezer|washing machine|dryer|washer|dishwasher"),
    ("kitchen", r"^kitchen/.*(cabinet|sink|island|hood|stove|\bcooker)$|upper shelves|/oven$"),
    ("bathroom", r"^bathroom/.*(washbasin|toilets? unit|bidet|vanity|shower|bath|bathtub|lavatory|towel|dispenser)"),
    ("clutter", r"^(kitchen|bathroom|office|bedroom|living room|miscellaneous)/|spray bottle"),
)

_CEILING_M = 2.4  # a lamp whose top is above hangs from the ceiling
_WALL_M = 0.9  # and one whose foot is above hangs on a wall
_FLOOR_LAMP_M = 1.1  # a standing lamp that is as high stands on the floor
_PLANT_M = 2.4  # what is higher grows outdoors
_LIMIT_M = 3.6  # nothing wider or deeper goes into a room


def group_of(category: str, name: str, size_m: tuple[float, float, float], elevation_m: float) -> str:
    """The group (catalog.GROUPS) of furniture of a category and a name, in English."""
    text = f"{category}/{name}".lower()
    group = next((group for group, pattern in _RULES if re.search(pattern, text)), "other")
    if max(size_m[:2]) > _LIMIT_M:
        return "other"
    return _by_size(group, size_m, elevation_m)


def _by_size(group: str, size_m: tuple[float, float, float], elevation_m: float) -> str:
    """What a name leaves open."""
    height = size_m[2]
    if group == "light":
        return _kind_of_lamp(height, elevation_m)
    if group in ("kitchen", "bathroom", "tv") and elevation_m > 0:
        return {"kitchen": "kitchen_wall", "bathroom": "bathroom_wall", "tv": "wall_tv"}[group]
    if group in ("kitchen", "bathroom") and height < 0.7:
        return "clutter" if max(size_m) < 0.55 else "other"
    if group == "plant" and height > _PLANT_M:
        return "other"
    if group == "chair" and height < 0.55:
        return "stool"
    if group == "chair" and size_m[0] > 0.7:
        return "armchair"
    if group == "table" and height < 0.6:
        return "coffee_table"
    if group == "clutter" and max(size_m) > 0.65:
        return "floor_thing"
    return group


def _kind_of_lamp(height_m: float, elevation_m: float) -> str:
    if elevation_m + height_m > _CEILING_M:
        return "ceiling_lamp"
    if elevation_m > _WALL_M:
        return "wall_lamp"
    return "floor_lamp" if height_m > _FLOOR_LAMP_M else "table_lamp"
