"""Sections: one file each, what a page says of one thing that was measured."""
