"""The pilots that speak: who they are, when they were heard, what they are told to do."""
