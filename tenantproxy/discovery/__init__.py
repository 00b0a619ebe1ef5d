"""Where the endpoints of an upstream come from: the document, DNS, SRV; decides nothing.

`build.source_of(spec, resolver)` gives the `source.Source` of an upstream, which yields
`source.Found` and `source.Failed`; one `resolver.Resolver` serves the daemon.
"""
