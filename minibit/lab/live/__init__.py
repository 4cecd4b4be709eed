"""The live page: a running swarm in a browser, and its controls, on this machine's loopback.

`overview` makes the table of peers from the records, `feeder` keeps the pictures up to date at a bounded cost, `server`
answers the browser. None of them knows Ray: they see a `LiveSwarm`.
"""
