"""Real servers for tests: each module installs one, starts it, waits until it is ready, cuts it off and stops it."""
