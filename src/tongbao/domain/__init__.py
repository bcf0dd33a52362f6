"""The pure core: it decides. No I/O, no clock, no chance, no third-party import; time arrives as an argument."""
