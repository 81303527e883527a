"""Where jobs, attempts and pilots are kept: one port, and the stores behind it."""
