"""Results in the formats of other tools: one file per tool in ``targets``, and the stage that writes them."""
