"""Pure rules: states, transitions, the order of jobs, names, backoff. Clock and chance are parameters. Stdlib only."""
