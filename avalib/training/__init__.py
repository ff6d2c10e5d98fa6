"""Training: `session` goes from settings to a finished run; `engine` has the loop, `step` one step of it."""
