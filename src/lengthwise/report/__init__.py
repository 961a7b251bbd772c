"""Charts, tables and a page from run folders; reads results only and never needs torch."""
