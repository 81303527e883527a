"""Who may do what, and how it is proved: tokens, certificates, secrets, signatures."""
