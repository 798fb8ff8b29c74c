"""The transparency log and the evidence bundle: pure, and importing nothing else of ours.

Shipped alone, this package is the offline verifier. It knows bytes, hashes and signatures; it
asks nobody for the time, makes no randomness and opens no file.
"""
