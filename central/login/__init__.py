"""People who log in with an identity provider (OpenID Connect), and what they are given here."""
