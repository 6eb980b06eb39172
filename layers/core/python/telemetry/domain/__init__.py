"""Pure rules: states, transitions, the order of jobs, backoff. Standard library only; clock and chance are given."""
