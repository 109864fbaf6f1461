"""Pictures and tables for people: grids, token maps, codebook use, reconstructions."""
