"""minifcn beside its peers: how fast, how much memory, how close to the hardware. See __main__."""
