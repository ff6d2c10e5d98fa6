"""Training: `session` plans, trains and records a run; `engine` has the loop, `step` one step of it."""
