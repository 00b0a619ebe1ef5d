"""`python -m tenantproxy` is `tenantproxy`."""

from __future__ import annotations

from tenantproxy.cli.main import main

if __name__ == "__main__":
    main()
