"""What reads files from strangers, as functions of bytes that a fuzzer calls: `make fuzz`; the kept inputs are replayed by tests/test_fuzz.py."""
