"""Links between peers: sockets, in the process of each peer."""
