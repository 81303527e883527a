"""ARC computing elements, spoken to through their REST interface."""
