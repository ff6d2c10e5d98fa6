"""People in videos of any kind: their boxes, found or given."""
