"""Runs built functions as Lambda does, without Docker: the real runtime client, under the real emulator."""
