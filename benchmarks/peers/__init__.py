"""Programs of the peers, each in its own API as its documentation has it; they print one rate, in images per second."""
