"""Everything that goes wrong on the other side, one case each: what the tables hold then, and what a sync says."""
