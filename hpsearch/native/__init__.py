"""Machine code made for the processor at hand: what a step does most often, over lanes."""
