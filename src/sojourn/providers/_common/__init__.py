"""What providers share: how an address is read, how a call is bounded, how a canary is tried."""
