"""Where the endpoints of an upstream come from: the document, DNS, SRV; decides nothing."""
