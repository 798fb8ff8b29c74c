"""Session governance for machines: access bound to one task that provably ends with it."""
