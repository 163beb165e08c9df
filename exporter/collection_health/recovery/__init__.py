"""Automatic recovery: what may be done about an incident, once, within limits, and verified.

`webhook` and `api` take requests; `eligibility` says which may lead to a recovery; `ladder`
says, from what was recorded, what happens next; `engine` does it and records it; `actions`
are the HTTP calls and commands; `targets` is what a recovery is about; `plugin` ties it to the
server. Guide: exporter/guides/recovery.md.
"""
