"""Any video to a table of people and their actions: person boxes, tracks, scores."""
