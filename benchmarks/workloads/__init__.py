"""One file for each family of workloads; `registry` lists them."""
