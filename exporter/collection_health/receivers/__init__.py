"""Receivers: one module a protocol; each turns foreign words into `Outcome` and submits it."""
