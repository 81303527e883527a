"""Why a job waits, and why a pilot got nothing."""
