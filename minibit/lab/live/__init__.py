"""The live page: a running swarm in a browser, and its controls, on this machine's loopback.

`overview` says from the records what the page shows of everybody, `feeder` keeps its pictures fed at a bounded
cost, `server` answers the browser. None of them knows Ray: whoever holds the swarm is a `Source` to them.
"""
