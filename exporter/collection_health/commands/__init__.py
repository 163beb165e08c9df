"""Commands for people and scripts that ask or steer a running exporter over its API.

Only the standard library is imported: a status must not take longer than the look at it.
"""
