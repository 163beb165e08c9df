"""Probes: active checks of collectors and of what they depend on.

`config` says what a probe may be told, `checks` fetch, `judge` and `content` decide, `runner`
says when, `plugin` ties it to the server.
"""
