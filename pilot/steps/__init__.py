"""Commands that are a community's, run in processes of their own: fetched, checked, started, heard, ended."""
