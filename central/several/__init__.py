"""Several centrals over one database, and what they tell each other."""
