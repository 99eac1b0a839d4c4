"""What the data is like before anything is decided about it: a record and a page, no change to the data."""
