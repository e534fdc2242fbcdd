"""Which markets are streamed, and the sockets that stream them."""
