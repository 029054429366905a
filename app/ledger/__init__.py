"""Segments, lanes, fences and verdict rules: the fold. Pure: arrays in, state and effects out; no clock, no I/O."""
