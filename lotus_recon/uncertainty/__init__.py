"""How far depth may be off: predictors of its error, learnt on rendered rooms, calibrated on held-out points."""
