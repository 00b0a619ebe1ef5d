"""Where the endpoints of an upstream come from: the document, DNS, SRV; decides nothing.

`build.source_of(spec, resolver)` gives an upstream's `source.Source`; `resolver.Resolver` is one for
the daemon. A source yields `source.Found` and `source.Failed`, made of `source.Address`.
"""
