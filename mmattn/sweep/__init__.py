"""One base config, many variants and seeds: trained, tested, recorded and compared."""
