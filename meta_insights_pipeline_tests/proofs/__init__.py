"""Proofs of the pipeline as a whole: what holds after any sequence of syncs, and after a kill at any step of one."""
