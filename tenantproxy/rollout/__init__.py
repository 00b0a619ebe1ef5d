"""Who judges a canary from outside: Prometheus, webhooks, commands; and gates."""
