"""Directors: loops that compare demand with supply and send pilots to where there is capacity."""
